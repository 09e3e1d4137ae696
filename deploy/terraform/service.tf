# The service on Fargate, and its scaling: out while what is read is old, in while nothing is and the tasks have little to do.

locals {
  # What is set here has its variable above; the rest comes from var.environment, which comes last.
  environment = merge(
    {
      BEDROCK_TAP__DRAIN_TIMEOUT = "60s"
      BEDROCK_TAP__HTTP__LISTEN  = "0.0.0.0:9464"
    },
    {
      for name, value in {
        BEDROCK_TAP__SOURCE__KINESIS__STREAM       = one(aws_kinesis_stream.this[*].arn)
        BEDROCK_TAP__SOURCE__KINESIS__MODE         = local.fan_out ? "fan-out" : null
        BEDROCK_TAP__SOURCE__KINESIS__CONSUMER     = one(aws_kinesis_stream_consumer.this[*].name)
        BEDROCK_TAP__COORDINATION__DYNAMODB__TABLE = one(aws_dynamodb_table.leases[*].name)
        BEDROCK_TAP__SOURCE__S3__QUEUE_URL         = one(aws_sqs_queue.logs[*].url)
        BEDROCK_TAP__SOURCE__S3__BUCKETS           = local.from_bucket ? jsonencode([local.log_bucket]) : null
        BEDROCK_TAP__BODIES__FETCH                 = local.has_bodies ? "true" : null
        BEDROCK_TAP__BODIES__BUCKETS               = local.has_bodies ? jsonencode([var.bodies_bucket_name]) : null
        BEDROCK_TAP__DETECT__RULES                 = local.detects ? jsonencode(var.rules) : null
        BEDROCK_TAP__SINKS__EVENTS__S3__BUCKET     = var.events_bucket_name
        BEDROCK_TAP__SINKS__EVENTS__STDOUT__FORMAT = local.has_bucket ? null : "panther"
        BEDROCK_TAP__DEAD_LETTER__S3__BUCKET       = var.events_bucket_name
        BEDROCK_TAP__DEAD_LETTER__S3__PREFIX       = local.has_bucket ? "rejects/date={date}/" : null
        BEDROCK_TAP__DEAD_LETTER__FILE__PATH       = local.has_bucket ? null : "/var/lib/bedrock-tap/rejects.jsonl"
      } : name => value if value != null
    },
    var.environment,
  )
}

resource "aws_cloudwatch_log_group" "service" {
  name              = local.service_log
  retention_in_days = var.service_log_retention_days
  # Without a bucket for them, it holds the events too.
  kms_key_id = local.key_arn
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights ? "enabled" : "disabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_cpu
  memory                   = var.task_memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  # The disk of the task. It goes with it, and holds nothing that has to outlive it but rejects without a bucket.
  volume {
    name = "state"
  }

  container_definitions = jsonencode([
    {
      name                   = "bedrock-tap"
      image                  = var.image
      essential              = true
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      # Longer than the drain above, or ECS kills what is still delivering.
      stopTimeout = 90
      healthCheck = {
        command     = ["CMD", "/usr/local/bin/bedrock-tap", "health"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      mountPoints = [{ sourceVolume = "state", containerPath = "/var/lib/bedrock-tap", readOnly = false }]
      environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.service.name
          awslogs-region        = local.region
          awslogs-stream-prefix = "task"
          # The default of ECS drops lines when its buffer is full. On standard output a line may be an event.
          mode = "blocking"
        }
      }
    },
  ])
}

# Nobody calls the tasks; what they may call is not limited, because sinks have ports of their own.
resource "aws_security_group" "this" {
  name        = var.name
  description = "bedrock-tap"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "ipv4" {
  security_group_id = aws_security_group.this.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "ipv6" {
  security_group_id = aws_security_group.this.id
  ip_protocol       = "-1"
  cidr_ipv6         = "::/0"
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.desired_tasks
  launch_type                        = "FARGATE"
  platform_version                   = "1.4.0"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.assign_public_ip
  }

  lifecycle {
    # The scaling sets it.
    ignore_changes = [desired_count]
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.desired_tasks
  max_capacity       = var.max_tasks
}

resource "aws_appautoscaling_policy" "scale_out" {
  name               = "out"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type          = "PercentChangeInCapacity"
    min_adjustment_magnitude = 1
    metric_aggregation_type  = "Maximum"
    # New tasks take their share of the leases within a minute or two.
    cooldown = 180

    step_adjustment {
      metric_interval_lower_bound = 0
      metric_interval_upper_bound = 540
      scaling_adjustment          = 50
    }

    step_adjustment {
      metric_interval_lower_bound = 540
      scaling_adjustment          = 100
    }
  }
}

resource "aws_appautoscaling_policy" "scale_in" {
  name               = "in"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Minimum"
    cooldown                = 900

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = -1
    }
  }
}
