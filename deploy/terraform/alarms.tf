# Alarms: each has its section in deploy/RUNBOOK.md. They are those of deploy/cloudformation, by the same names.

locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  own_metrics   = "bedrock-tap/${var.name}"

  # What tells the age of the oldest that is not read: the stream's metric, the consumer's with fan-out, or the queue's.
  of_stream  = merge({ StreamName = var.stream_name }, { for name in aws_kinesis_stream_consumer.this[*].name : "ConsumerName" => name })
  of_age     = merge({ for name in aws_sqs_queue.logs[*].name : "QueueName" => name }, { for name, value in local.of_stream : name => value if local.from_stream })
  stream_age = local.fan_out ? "SubscribeToShardEvent.MillisBehindLatest" : "GetRecords.IteratorAgeMilliseconds"
  age        = local.from_stream ? local.stream_age : "ApproximateAgeOfOldestMessage"
}

resource "aws_cloudwatch_metric_alarm" "scale_out" {
  alarm_name          = "${var.name}-scale-out"
  alarm_description   = "The oldest record or message is more than a minute old; tasks are added. This is no fault by itself."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.scale_out.arn]

  metric_query {
    id          = "seconds"
    label       = "Age of the oldest"
    expression  = local.from_stream ? "age / 1000" : "age"
    return_data = true
  }

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = local.from_stream ? "AWS/Kinesis" : "AWS/SQS"
      metric_name = local.age
      dimensions  = local.of_age
      stat        = "Maximum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "scale_in" {
  alarm_name          = "${var.name}-scale-in"
  alarm_description   = "For half an hour nothing was old and the tasks had little to do; one is taken away. This is no fault."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 30
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.scale_in.arn]

  metric_query {
    id          = "idle"
    label       = "Idle"
    expression  = "IF(seconds < 10 AND cpu < 25, 1, 0)"
    return_data = true
  }

  metric_query {
    id          = "cpu"
    return_data = false

    metric {
      namespace   = "AWS/ECS"
      metric_name = "CPUUtilization"
      dimensions  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }
      stat        = "Average"
      period      = 60
    }
  }

  metric_query {
    id          = "seconds"
    label       = "Age of the oldest"
    expression  = local.from_stream ? "age / 1000" : "age"
    return_data = false
  }

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = local.from_stream ? "AWS/Kinesis" : "AWS/SQS"
      metric_name = local.age
      dimensions  = local.of_age
      stat        = "Maximum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "lag" {
  alarm_name          = "${var.name}-lag"
  alarm_description   = "What is read is old, and stays so."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_alarm_seconds
  evaluation_periods  = 15
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "seconds"
    label       = "Age of the oldest"
    expression  = local.from_stream ? "age / 1000" : "age"
    return_data = true
  }

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = local.from_stream ? "AWS/Kinesis" : "AWS/SQS"
      metric_name = local.age
      dimensions  = local.of_age
      stat        = "Maximum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "retention" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-retention"
  alarm_description   = "The oldest record has passed half of the stream's retention. What reaches its end is lost."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 50
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "percent"
    label       = "Retention used"
    expression  = "100 * age / (${var.stream_retention_hours} * 3600000)"
    return_data = true
  }

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = "AWS/Kinesis"
      metric_name = local.stream_age
      dimensions  = local.of_stream
      stat        = "Maximum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "subscription_errors" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-subscription-errors"
  alarm_description   = "CloudWatch Logs cannot write to the stream. After an error that it does not retry, events are skipped."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "errors"
    expression  = "SELECT SUM(DeliveryErrors) FROM SCHEMA(\"AWS/Logs\", DestinationType, FilterName, LogGroupName) WHERE LogGroupName = '${var.log_group_name}' AND FilterName = 'bedrock-tap'"
    period      = 300
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "subscription_throttled" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-subscription-throttled"
  alarm_description   = "CloudWatch Logs is throttled by the stream. It tries again for a day, and then drops events."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "throttled"
    expression  = "SELECT SUM(DeliveryThrottling) FROM SCHEMA(\"AWS/Logs\", DestinationType, FilterName, LogGroupName) WHERE LogGroupName = '${var.log_group_name}' AND FilterName = 'bedrock-tap'"
    period      = 300
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "nothing_arrives" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-nothing-arrives"
  alarm_description   = "Bedrock writes to the log group, and for half an hour nothing has come to the stream."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 6
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "silent"
    label       = "Events without records"
    expression  = "IF(FILL(events, 0) > 0 AND FILL(records, 0) == 0, 1, 0)"
    return_data = true
  }

  metric_query {
    id          = "events"
    return_data = false

    metric {
      namespace   = "AWS/Logs"
      metric_name = "IncomingLogEvents"
      dimensions  = { LogGroupName = var.log_group_name }
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id          = "records"
    return_data = false

    metric {
      namespace   = "AWS/Kinesis"
      metric_name = "IncomingRecords"
      dimensions  = { StreamName = var.stream_name }
      stat        = "Sum"
      period      = 300
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "write_throttled" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-write-throttled"
  alarm_description   = "The stream refuses writes, more than it grows."
  namespace           = "AWS/Kinesis"
  metric_name         = "WriteProvisionedThroughputExceeded"
  dimensions          = { StreamName = var.stream_name }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "read_throttled" {
  count = local.from_stream && !local.fan_out ? 1 : 0

  alarm_name          = "${var.name}-read-throttled"
  alarm_description   = "A tenth of the reads are refused for a quarter of an hour; others read the stream too."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0.1
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "refused"
    return_data = true

    metric {
      namespace   = "AWS/Kinesis"
      metric_name = "ReadProvisionedThroughputExceeded"
      dimensions  = { StreamName = var.stream_name }
      stat        = "Average"
      period      = 300
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "table_throttled" {
  count = local.from_stream ? 1 : 0

  alarm_name          = "${var.name}-table-throttled"
  alarm_description   = "DynamoDB throttles the table of the leases. Leases that are not renewed change hands."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "throttled"
    label       = "Throttled requests"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    return_data = true
  }

  metric_query {
    id          = "reads"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "ReadThrottleEvents"
      dimensions  = { TableName = var.table_name }
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id          = "writes"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "WriteThrottleEvents"
      dimensions  = { TableName = var.table_name }
      stat        = "Sum"
      period      = 300
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "dead_queue" {
  count = local.from_bucket ? 1 : 0

  alarm_name          = "${var.name}-dead-queue"
  alarm_description   = "Notifications of objects that could not be read are in the dead-letter queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = "${local.log_queue}-dead" }
  statistic           = "Maximum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "tasks_missing" {
  count = var.container_insights ? 1 : 0

  alarm_name          = "${var.name}-tasks-missing"
  alarm_description   = "Fewer tasks run than should, for a quarter of an hour."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 15
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "missing"
    label       = "Missing tasks"
    expression  = "desired - FILL(running, 0)"
    return_data = true
  }

  metric_query {
    id          = "desired"
    return_data = false

    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "DesiredTaskCount"
      dimensions  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }
      stat        = "Maximum"
      period      = 60
    }
  }

  metric_query {
    id          = "running"
    return_data = false

    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "RunningTaskCount"
      dimensions  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }
      stat        = "Minimum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  alarm_name          = "${var.name}-memory"
  alarm_description   = "A task is about to run out of memory."
  namespace           = "AWS/ECS"
  metric_name         = "MemoryUtilization"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = 90
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_log_metric_filter" "panics" {
  name           = "panics"
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = "{ $.level = \"ERROR\" && $.target = \"bedrock_tap*\" }"

  metric_transformation {
    namespace     = local.own_metrics
    name          = "Failures"
    value         = "1"
    default_value = 0
  }
}

resource "aws_cloudwatch_log_metric_filter" "ends" {
  name           = "ends"
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = "[first = \"error:\", ...]"

  metric_transformation {
    namespace     = local.own_metrics
    name          = "Failures"
    value         = "1"
    default_value = 0
  }
}

resource "aws_cloudwatch_log_metric_filter" "held_up" {
  name           = "held-up"
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = "{ $.message = \"*until a person*\" && $.target = \"bedrock_tap*\" }"

  metric_transformation {
    namespace     = local.own_metrics
    name          = "HeldUp"
    value         = "1"
    default_value = 0
  }
}

resource "aws_cloudwatch_log_metric_filter" "refused_items" {
  name           = "refused-items"
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = "{ $.message = \"the destination refused items, they go to the dead letter\" }"

  metric_transformation {
    namespace     = local.own_metrics
    name          = "RefusedItems"
    value         = "$.items"
    default_value = 0
  }
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "${var.name}-failures"
  alarm_description   = "The program ended with an error, or a part of it panicked."
  namespace           = local.own_metrics
  metric_name         = "Failures"
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "held_up" {
  alarm_name          = "${var.name}-held-up"
  alarm_description   = "The service waits for a person, who has to grant or repair something. Nothing is lost meanwhile."
  namespace           = local.own_metrics
  metric_name         = "HeldUp"
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "refused_items" {
  alarm_name          = "${var.name}-refused-items"
  alarm_description   = "A destination refuses events for good. They are in the dead letter."
  namespace           = local.own_metrics
  metric_name         = "RefusedItems"
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
