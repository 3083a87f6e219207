//! Whose an Ingress is.

use gatehouse_crds::keys;
use k8s_openapi::api::networking::v1::Ingress;

/// The annotation that came before the field.
const LEGACY: &str = "kubernetes.io/ingress.class";

/// Whether an Ingress is of our class. The annotation counts before the field, as Kubernetes has it for controllers
/// that honour both; of the cluster's default class the API server has written the name before anybody looks.
#[must_use]
pub fn is_ours(ingress: &Ingress) -> bool {
    let legacy = ingress.metadata.annotations.as_ref().and_then(|all| all.get(LEGACY));
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref());
    legacy.or(field).is_some_and(|class| class == keys::INGRESS_CLASS)
}
