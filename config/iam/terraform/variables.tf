variable "cluster_id" {
  description = "The operator's cluster id, to the letter: clusterId of the chart, GATEHOUSE_CLUSTER_ID of config/."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9.-]{1,63}$", var.cluster_id)) && var.cluster_id != "change-me"
    error_message = "Must be 1 to 63 letters, digits, dots and hyphens, and not the placeholder change-me."
  }
}

variable "regions" {
  description = "Regions of the SharedLoadBalancers."
  type        = list(string)
  validation {
    condition     = length(var.regions) > 0
    error_message = "Name at least one Region."
  }
}

variable "zone_ids" {
  description = "Hosted zones to write to, without /hostedzone/."
  type        = list(string)
  validation {
    condition     = length(var.zone_ids) > 0 && alltrue([for id in var.zone_ids : can(regex("^Z[A-Z0-9]{1,31}$", id))])
    error_message = "Name at least one zone by its id, such as Z0123456789ABC."
  }
}

variable "account_id" {
  description = "The account's 12 digits."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Must be 12 digits."
  }
}

variable "eks_cluster" {
  description = "Name of the EKS cluster, for Pod Identity. Null: no association is made."
  type        = string
  default     = null
}

variable "oidc_provider_arn" {
  description = "ARN of the cluster's OIDC provider in IAM, for IRSA. Null: the role is for Pod Identity."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of Gatehouse."
  type        = string
  default     = "gatehouse-system"
}

variable "role_name" {
  description = "Name of the role, and the first part of its policies' names."
  type        = string
  default     = "gatehouse"
}
