output "bedrock_logging_configuration" {
  description = "What Bedrock's logging configuration has to be, where configure_bedrock does not set it."
  value = jsonencode(merge(
    { for arn in aws_iam_role.bedrock[*].arn : "cloudWatchConfig" => { logGroupName = var.log_group_name, roleArn = arn } },
    { for name in aws_s3_bucket.logs[*].id : "s3Config" => { bucketName = name } },
    { textDataDeliveryEnabled = true, imageDataDeliveryEnabled = true, embeddingDataDeliveryEnabled = true },
  ))
}

output "stream_arn" {
  description = "The stream; null with log_source s3."
  value       = one(aws_kinesis_stream.this[*].arn)
}

output "log_bucket" {
  description = "The bucket that Bedrock writes to; null with log_source kinesis."
  value       = one(aws_s3_bucket.logs[*].id)
}

output "dead_queue_arn" {
  description = "The queue of what could not be read; null with log_source kinesis."
  value       = one(aws_sqs_queue.dead[*].arn)
}

output "key_arn" {
  description = "The key of what holds prompts and answers."
  value       = local.key_arn
}

output "task_role_name" {
  description = "The role of the program, for policies of further sinks."
  value       = aws_iam_role.task.name
}

output "security_group_id" {
  description = "The group of the tasks, for rules that let a collector read metrics at port 9464."
  value       = aws_security_group.this.id
}

output "cluster_name" {
  description = "The cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "The service."
  value       = aws_ecs_service.this.name
}

output "service_log_group" {
  description = "The service's own log."
  value       = aws_cloudwatch_log_group.service.name
}
