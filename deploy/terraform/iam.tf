# The roles. Their statements are the files of deploy/iam, with the names of this deployment in the places between at signs;
# those of the program are written from its table of actions.

locals {
  names = [
    "bedrock-bucket-policy", "bedrock-policy", "bedrock-trust", "bodies-policy", "execution-policy", "fan-out-policy",
    "keys-policy", "leases-policy", "logs-policy", "logs-trust", "s3-queue-policy", "s3-source-policy", "sink-keys-policy",
    "sinks-policy", "task-policy", "tasks-trust",
  ]
  # No function replaces several texts at once.
  files = { for name in local.names : name => file("${path.module}/../iam/${name}.json") }
  in_account = {
    for name, text in local.files : name =>
    replace(replace(replace(text, "arn:aws:", "arn:${local.partition}:"), "@ACCOUNT@", local.account), "@REGION@", local.region)
  }
  of_source = {
    for name, text in local.in_account : name =>
    replace(replace(replace(replace(replace(text,
      "@LOG_GROUP@", var.log_group_name),
      "@STREAM@", var.stream_name),
      "@TABLE@", var.table_name),
      "@LOG_BUCKET@", local.log_bucket),
    "@LOG_QUEUE@", local.log_queue)
  }
  of_service = {
    for name, text in local.of_source : name =>
    replace(replace(replace(text,
      "@KMS_KEY_ARN@", local.key_arn),
      "log-group:/bedrock-tap/service", "log-group:${local.service_log}"),
    "repository/bedrock-tap", "repository/${var.repository_name}")
  }
  documents = { for name, text in local.of_service : name => jsondecode(text).Statement }

  # With the names of buckets and keys that there may be none of; then their statements are left out below.
  keyed = {
    for name, key in { source = local.key_arn, bodies = var.bodies_key_arn, events = var.events_key_arn } : name =>
    jsondecode(replace(jsonencode(concat(local.documents["keys-policy"], local.documents["sink-keys-policy"])), "@KEY_ARN@", coalesce(key, "-")))
  }
  bodies = jsondecode(replace(jsonencode(local.documents["bodies-policy"]), "@BUCKET@", coalesce(var.bodies_bucket_name, "-")))
  sinks = {
    for prefix in ["bedrock", "rejects"] : prefix =>
    jsondecode(replace(replace(jsonencode(local.documents["sinks-policy"]), "@BUCKET@", coalesce(var.events_bucket_name, "-")), "@PREFIX@", "${prefix}/"))
  }

  # What the program may do, by statement: which of them it needs depends on what it reads and where it writes.
  task_statements = concat(
    [for one in local.documents["task-policy"] : one if local.from_stream],
    [for one in local.documents["leases-policy"] : one if one.Sid == "ShareTheShards" && local.from_stream],
    [for one in local.documents["leases-policy"] : one if one.Sid == "KeepWhatDetectionRemembers" && local.remembers],
    [for one in local.documents["fan-out-policy"] : one if one.Sid == "ReadAsTheConsumer" && local.fan_out],
    [for one in local.documents["s3-source-policy"] : one if local.from_bucket],
    [for one in local.keyed.source : one if contains(["DecryptObjects", "DecryptNotifications"], one.Sid) && local.from_bucket],
    [for one in local.bodies : one if local.has_bodies],
    [
      for one in local.keyed.bodies : merge(one, { Sid = "DecryptBodies" })
      if one.Sid == "DecryptObjects" && local.has_bodies && var.bodies_key_arn != null
    ],
    [for one in local.sinks.bedrock : one if one.Sid == "WriteObjects" && local.has_bucket],
    [for one in local.sinks.rejects : merge(one, { Sid = "WriteRejects" }) if one.Sid == "WriteObjects" && local.has_bucket],
    [for one in local.keyed.events : one if one.Sid == "EncryptObjects" && local.has_bucket && var.events_key_arn != null],
  )
}

resource "aws_iam_role" "logs" {
  count = local.from_stream ? 1 : 0

  name = "${var.name}-logs"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["logs-trust"]
  })
}

resource "aws_iam_role_policy" "logs" {
  count = local.from_stream ? 1 : 0

  name = "write"
  role = aws_iam_role.logs[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["logs-policy"]
  })
}

resource "aws_iam_role" "bedrock" {
  count = local.from_stream ? 1 : 0

  name = "${var.name}-bedrock"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["bedrock-trust"]
  })
}

resource "aws_iam_role_policy" "bedrock" {
  count = local.from_stream ? 1 : 0

  name = "write"
  role = aws_iam_role.bedrock[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["bedrock-policy"]
  })
}

resource "aws_iam_role" "task" {
  name = "${var.name}-task"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["tasks-trust"]
  })
}

resource "aws_iam_role_policy" "task" {
  name = "run"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.task_statements
  })
}

resource "aws_iam_role" "execution" {
  name = "${var.name}-execution"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["tasks-trust"]
  })
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["execution-policy"]
  })
}
