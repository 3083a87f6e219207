output "role_arn" {
  description = "For IRSA: operator.serviceAccount.annotations of the chart, as eks.amazonaws.com/role-arn."
  value       = aws_iam_role.gatehouse.arn
}
