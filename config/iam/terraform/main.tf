# A role with the operator's rights, for EKS Pod Identity or for IRSA.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

resource "aws_iam_policy" "gatehouse" {
  for_each = local.policies
  name     = "${var.role_name}-${each.key}"
  policy   = each.value

  lifecycle {
    precondition {
      condition     = length(each.value) <= 6144
      error_message = "The policy is larger than the 6,144 characters that IAM takes: fewer Regions or zones, or split it by hand."
    }
  }
}

resource "aws_iam_role" "gatehouse" {
  name               = var.role_name
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy_attachment" "gatehouse" {
  for_each   = aws_iam_policy.gatehouse
  role       = aws_iam_role.gatehouse.name
  policy_arn = each.value.arn
}

resource "aws_eks_pod_identity_association" "gatehouse" {
  count           = var.eks_cluster == null ? 0 : 1
  cluster_name    = var.eks_cluster
  namespace       = var.namespace
  service_account = "gatehouse-operator"
  role_arn        = aws_iam_role.gatehouse.arn
}
