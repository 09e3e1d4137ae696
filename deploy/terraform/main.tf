# What is read: a log group with a subscription and a stream, or a bucket that tells a queue; and what the tasks share.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # The attribute that both major versions of the provider have.
  region = data.aws_region.current.id

  from_stream = var.log_source == "kinesis"
  from_bucket = var.log_source == "s3"
  fan_out     = local.from_stream && var.mode == "fan-out"
  has_bodies  = var.bodies_bucket_name != null
  has_bucket  = var.events_bucket_name != null
  detects     = length(var.rules) > 0
  remembers   = local.from_stream && local.detects

  key_arn     = var.key_arn != null ? var.key_arn : aws_kms_key.this[0].arn
  log_bucket  = coalesce(var.log_bucket_name, "bedrock-logs-${local.account}-${local.region}")
  log_queue   = "${var.name}-notifications"
  service_log = "/bedrock-tap/${var.name}"
}

# One key for what holds prompts and answers.
resource "aws_kms_key" "this" {
  count = var.key_arn == null ? 1 : 0

  description         = var.name
  enable_key_rotation = true
  # What it encrypted is lost with it: this is how long there is to think again.
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "PoliciesOfThisAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        # CloudWatch Logs asks for itself, for these log groups and no other.
        Sid       = "LogGroupsOfThisStack"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          ArnEquals = {
            "kms:EncryptionContext:aws:logs:arn" = [
              for name in [var.log_group_name, local.service_log] :
              "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${name}"
            ]
          }
        }
      },
      {
        Sid       = "BedrockWritesToTheBucket"
        Effect    = "Allow"
        Principal = { Service = "bedrock.amazonaws.com" }
        Action    = "kms:GenerateDataKey"
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:bedrock:${local.region}:${local.account}:*" }
        }
      },
      {
        Sid       = "TheBucketWritesToTheQueue"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "invocations" {
  count = local.from_stream && var.create_log_group ? 1 : 0

  name = var.log_group_name
  # Only this class has subscriptions.
  log_group_class   = "STANDARD"
  retention_in_days = var.log_group_retention_days
  kms_key_id        = local.key_arn
}

resource "aws_kinesis_stream" "this" {
  count = local.from_stream ? 1 : 0

  name             = var.stream_name
  retention_period = var.stream_retention_hours
  encryption_type  = "KMS"
  kms_key_id       = local.key_arn

  stream_mode_details {
    stream_mode = "ON_DEMAND"
  }
}

resource "aws_kinesis_stream_consumer" "this" {
  count = local.fan_out ? 1 : 0

  name       = "bedrock-tap"
  stream_arn = aws_kinesis_stream.this[0].arn
}

# Random, because Bedrock writes all events of a Region to one log stream: grouped by it, all would go to one shard.
resource "aws_cloudwatch_log_subscription_filter" "this" {
  count = local.from_stream ? 1 : 0

  name            = "bedrock-tap"
  log_group_name  = var.create_log_group ? aws_cloudwatch_log_group.invocations[0].name : var.log_group_name
  filter_pattern  = "{ $.schemaType = \"ModelInvocationLog\" }"
  destination_arn = aws_kinesis_stream.this[0].arn
  role_arn        = aws_iam_role.logs[0].arn
  distribution    = "Random"

  depends_on = [aws_iam_role_policy.logs]
}

resource "aws_s3_bucket" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = local.log_bucket
}

resource "aws_s3_bucket_ownership_controls" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = aws_s3_bucket.logs[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket                  = aws_s3_bucket.logs[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = aws_s3_bucket.logs[0].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = aws_s3_bucket.logs[0].id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = var.log_group_retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = aws_s3_bucket.logs[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.documents["bedrock-bucket-policy"], [
      {
        Sid       = "OnlyByTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.logs[0].arn, "${aws_s3_bucket.logs[0].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ])
  })
}

# 14 days, the most that SQS has: that is how long the service may be down.
resource "aws_sqs_queue" "logs" {
  count = local.from_bucket ? 1 : 0

  name                       = local.log_queue
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 120
  kms_master_key_id          = local.key_arn
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[0].arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "dead" {
  count = local.from_bucket ? 1 : 0

  name                      = "${local.log_queue}-dead"
  message_retention_seconds = 1209600
  kms_master_key_id         = local.key_arn
}

resource "aws_sqs_queue_policy" "logs" {
  count = local.from_bucket ? 1 : 0

  queue_url = aws_sqs_queue.logs[0].url
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.documents["s3-queue-policy"]
  })
}

resource "aws_s3_bucket_notification" "logs" {
  count = local.from_bucket ? 1 : 0

  bucket = aws_s3_bucket.logs[0].id

  queue {
    queue_arn     = aws_sqs_queue.logs[0].arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "AWSLogs/"
    filter_suffix = ".json.gz"
  }

  # The queue must let the bucket send before the bucket may name it.
  depends_on = [aws_sqs_queue_policy.logs]
}

resource "aws_bedrock_model_invocation_logging_configuration" "this" {
  count = var.configure_bedrock ? 1 : 0

  logging_config {
    text_data_delivery_enabled      = true
    image_data_delivery_enabled     = true
    embedding_data_delivery_enabled = true

    dynamic "cloudwatch_config" {
      for_each = local.from_stream ? [var.log_group_name] : []

      content {
        log_group_name = cloudwatch_config.value
        role_arn       = aws_iam_role.bedrock[0].arn
      }
    }

    dynamic "s3_config" {
      for_each = local.from_bucket ? [local.log_bucket] : []

      content {
        bucket_name = s3_config.value
      }
    }
  }

  depends_on = [aws_cloudwatch_log_group.invocations, aws_iam_role_policy.bedrock, aws_s3_bucket_policy.logs]
}

resource "aws_dynamodb_table" "leases" {
  count = local.from_stream ? 1 : 0

  name         = var.table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "leaseKey"

  attribute {
    name = "leaseKey"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_dynamodb_table" "detection" {
  count = local.remembers ? 1 : 0

  name         = "${var.table_name}-detection"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "book"
  range_key    = "part"

  attribute {
    name = "book"
    type = "S"
  }

  attribute {
    name = "part"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }
}
