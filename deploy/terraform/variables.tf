# What has to be said.

variable "image" {
  description = "The container image with its tag or digest, in a registry that the tasks reach."
  type        = string

  validation {
    condition     = length(var.image) > 0
    error_message = "Name the image."
  }
}

variable "vpc_id" {
  description = "The VPC of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Two or more of its subnets, with a way to AWS (NAT gateway, endpoints, or assign_public_ip)."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Name a subnet."
  }
}

# What is read.

variable "name" {
  description = "What the roles, the cluster, the service and the alarms are called."
  type        = string
  default     = "bedrock-tap"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.name))
    error_message = "A name has 1 to 32 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "log_source" {
  description = "Where the logs come from: \"kinesis\" is a log group with a subscription, \"s3\" a bucket that Bedrock writes to."
  type        = string
  default     = "kinesis"

  validation {
    condition     = contains(["kinesis", "s3"], var.log_source)
    error_message = "The source is \"kinesis\" or \"s3\"."
  }
}

variable "configure_bedrock" {
  description = "Whether the Region's logging configuration of Bedrock is set. That replaces the present one."
  type        = bool
  default     = false
}

variable "log_group_name" {
  description = "The log group that Bedrock writes to."
  type        = string
  default     = "/bedrock/invocations"

  validation {
    condition     = can(regex("^[A-Za-z0-9_/.#-]{1,512}$", var.log_group_name))
    error_message = "A log group's name has 1 to 512 letters, digits, and any of _/.#-."
  }
}

variable "create_log_group" {
  description = "Whether the log group is made; false where it exists."
  type        = bool
  default     = true
}

variable "log_group_retention_days" {
  description = "How long the log group or the bucket keeps logs. That is what can be read again if the subscription ever fails."
  type        = number
  default     = 30
}

variable "stream_name" {
  description = "The Kinesis stream that is made."
  type        = string
  default     = "bedrock-invocations"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{1,128}$", var.stream_name))
    error_message = "A stream's name has 1 to 128 letters, digits, and any of _.-."
  }
}

variable "stream_retention_hours" {
  description = "How long the stream keeps records, which is how long the service may be down."
  type        = number
  default     = 72

  validation {
    condition     = var.stream_retention_hours >= 24 && var.stream_retention_hours <= 8760
    error_message = "A stream keeps records for 24 to 8760 hours."
  }
}

variable "mode" {
  description = "How the stream is read. \"fan-out\" has a throughput of its own and is charged for."
  type        = string
  default     = "polling"

  validation {
    condition     = contains(["polling", "fan-out"], var.mode)
    error_message = "The mode is \"polling\" or \"fan-out\"."
  }
}

variable "log_bucket_name" {
  description = "With log_source s3, the bucket that is made for Bedrock. Null is a name with account and Region."
  type        = string
  default     = null
}

variable "key_arn" {
  description = "A KMS key for logs, stream, bucket and queue. Null makes one."
  type        = string
  default     = null
}

variable "bodies_bucket_name" {
  description = "The bucket of Bedrock's largeDataDeliveryS3Config, whose bodies are put back into their events. Null leaves it."
  type        = string
  default     = null
}

variable "bodies_key_arn" {
  description = "The KMS key of that bucket, if it has one of its own."
  type        = string
  default     = null
}

# Where it goes.

variable "events_bucket_name" {
  description = "An existing bucket for events and for what cannot be read. Null writes events to standard output, and so to the log group of the service."
  type        = string
  default     = null
}

variable "events_key_arn" {
  description = "The KMS key of that bucket, if it has one of its own."
  type        = string
  default     = null
}

variable "rules" {
  description = "Rules of detection, such as [\"tap.*\"]. None switches detection off."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "Further settings of the program, by the names of their variables, such as BEDROCK_TAP__LOG__LEVEL."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.environment) : startswith(name, "BEDROCK_TAP_")])
    error_message = "The program's variables begin with BEDROCK_TAP_."
  }
}

# How it runs.

variable "cpu_architecture" {
  description = "What the image was built for."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "The architecture is \"ARM64\" or \"X86_64\"."
  }
}

variable "task_cpu" {
  description = "CPU units of a task; 1024 are one vCPU."
  type        = number
  default     = 512

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.task_cpu)
    error_message = "Fargate has 256, 512, 1024, 2048 and 4096 units."
  }
}

variable "task_memory" {
  description = "Memory of a task in MiB, one that Fargate has for the CPU units."
  type        = number
  default     = 1024
}

variable "repository_name" {
  description = "The repository of the image, if it is in this account's ECR and Region; the tasks may pull from no other."
  type        = string
  default     = "bedrock-tap"
}

variable "assign_public_ip" {
  description = "Whether tasks have public addresses, for public subnets without a NAT gateway."
  type        = bool
  default     = false
}

variable "desired_tasks" {
  description = "Tasks at the least. Two in two zones go on where one fails."
  type        = number
  default     = 2

  validation {
    condition     = var.desired_tasks >= 1
    error_message = "One task at the least."
  }
}

variable "max_tasks" {
  description = "Tasks at the most. More than there are shards do nothing more."
  type        = number
  default     = 8

  validation {
    condition     = var.max_tasks >= 1
    error_message = "One task at the least."
  }
}

variable "table_name" {
  description = "The table of the leases that is made. Detection's is called the same with \"-detection\" behind it."
  type        = string
  default     = "bedrock-tap"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,240}$", var.table_name))
    error_message = "A table's name has 3 to 240 letters, digits, and any of _.-."
  }
}

variable "service_log_retention_days" {
  description = "How long the service's own log is kept."
  type        = number
  default     = 30
}

variable "container_insights" {
  description = "Whether the cluster counts its tasks, which the alarm on missing tasks needs and which is charged for."
  type        = bool
  default     = true
}

# Who is told.

variable "alarm_topic_arn" {
  description = "The SNS topic that alarms go to. Null tells nobody."
  type        = string
  default     = null
}

variable "lag_alarm_seconds" {
  description = "How old the oldest record or message may be for a quarter of an hour before there is an alarm."
  type        = number
  default     = 900

  validation {
    condition     = var.lag_alarm_seconds >= 60
    error_message = "At least a minute."
  }
}
