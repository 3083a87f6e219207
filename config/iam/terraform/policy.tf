# The policy is ../policy.json, which tests hold to what the operator needs: its ARNs are repeated for each Region and
# zone, and its placeholders filled.
locals {
  template = jsondecode(file("${path.module}/../policy.json"))

  statements = [
    for statement in local.template.Statement : merge(statement, {
      Resource = distinct(flatten([
        for arn in flatten([statement.Resource]) : [
          for region in var.regions : [
            for zone in var.zone_ids : replace(replace(replace(arn, "REGION", region), "ACCOUNT", var.account_id), "ZONE_ID", zone)
          ]
        ]
      ]))
    })
  ]

  # Two policies, because one is larger than the 6,144 characters that IAM takes as soon as there are two Regions.
  parts = {
    load-balancing = [for s in local.statements : s if startswith(flatten([s.Action])[0], "elasticloadbalancing:")]
    names          = [for s in local.statements : s if !startswith(flatten([s.Action])[0], "elasticloadbalancing:")]
  }

  policies = {
    for name, statements in local.parts :
    name => replace(jsonencode({ Version = local.template.Version, Statement = statements }), "CLUSTER_ID", var.cluster_id)
  }

  # What follows arn:aws:iam::ACCOUNT:oidc-provider/
  issuer = var.oidc_provider_arn == null ? "" : join("/", slice(split("/", var.oidc_provider_arn), 1, length(split("/", var.oidc_provider_arn))))

  for_pod_identity = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })

  for_irsa = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = var.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = "system:serviceaccount:${var.namespace}:gatehouse-operator"
        }
      }
    }]
  })

  trust = var.oidc_provider_arn == null ? local.for_pod_identity : local.for_irsa
}
