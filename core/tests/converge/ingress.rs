//! Ingresses of class gatehouse: the apps that stand for them, and what their owners are told.

use gatehouse_core::AppKey;
use gatehouse_virtual::Sim;

use crate::{app, claims, policy, ready, start};

fn ingress(annotations: &str, hosts: &[&str], service: &str) -> String {
    let path =
        format!("{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 8080}}}}}}}}");
    let rule = |host: &&str| format!("{{host: {host}, http: {{paths: [{path}]}}}}");
    let rules: Vec<String> = hosts.iter().map(rule).collect();
    format!(
        "metadata: {{annotations: {{{annotations}}}}}\nspec: {{ingressClassName: gatehouse, rules: [{}]}}",
        rules.join(", ")
    )
}

fn apps(sim: &Sim) -> Vec<String> {
    sim.cluster.world.apps.keys().map(ToString::to_string).collect()
}

fn addresses(sim: &Sim, name: &str) -> Vec<String> {
    sim.cluster.world.ingresses[&AppKey::new("team-a", name)].addresses.clone()
}

/// What was told since the last time.
fn told(sim: &mut Sim) -> Vec<String> {
    std::mem::take(&mut sim.cluster.events)
}

fn reached(sim: &Sim, host: &str) -> Option<String> {
    sim.client(host)
}

#[test]
fn an_ingress_is_served_as_an_app_and_leaves_nothing() {
    let mut sim = start();
    sim.cluster.ingress("team-a", "shop", &ingress("", &["shop.example.com"], "web"));
    sim.run(60_000);
    assert_eq!(apps(&sim), ["team-a/ingress-shop"]);
    assert!(ready(&sim, "team-a", "ingress-shop"), "{}", sim.tail());
    assert_eq!(reached(&sim, "shop.example.com").as_deref(), Some("team-a"));
    assert_eq!(addresses(&sim, "shop").len(), 1, "Argo CD waits for it");
    assert_eq!(told(&mut sim), ["team-a/shop Converted: served as ExposedApp ingress-shop"]);

    // Nothing more is written while nothing changes.
    let before = sim.calls;
    sim.run(30_000);
    assert_eq!(sim.calls, before, "{}", sim.tail());

    sim.cluster.delete_ingress("team-a", "shop");
    sim.run(200_000);
    assert_eq!((apps(&sim), claims(&sim)), (vec![], vec![]));
    assert!(sim.cluster.world.children.is_empty());
}

/// What cannot be read changes nothing that stands: it is the edit that is refused, not the app.
#[test]
fn a_refused_edit_leaves_the_app_as_it_was() {
    let mut sim = start();
    sim.cluster.ingress("team-a", "shop", &ingress("", &["shop.example.com"], "web"));
    sim.run(60_000);
    told(&mut sim);
    sim.guard = [("shop.example.com".into(), "team-a".into())].into();
    let snippet = "nginx.ingress.kubernetes.io/configuration-snippet: 'deny all;'";
    sim.cluster.ingress("team-a", "shop", &ingress(snippet, &["other.example.com"], "web"));
    sim.run(60_000);
    let [event] = &told(&mut sim)[..] else { panic!("one event") };
    assert!(event.starts_with("team-a/shop Refused: metadata.annotations[nginx.ingress.kubernetes.io/configuration-"));
    assert_eq!(reached(&sim, "shop.example.com").as_deref(), Some("team-a"));
    sim.guard.clear();

    // Another class is another controller's: what was made for ours goes.
    let other = ingress("", &["shop.example.com"], "web").replace("gatehouse", "nginx");
    sim.cluster.ingress("team-a", "shop", &other);
    sim.run(200_000);
    assert_eq!((apps(&sim), claims(&sim)), (vec![], vec![]), "{}", sim.tail());
}

#[test]
fn an_app_of_a_person_is_never_taken_over() {
    let mut sim = start();
    sim.cluster.app("team-a", "ingress-shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    sim.cluster.ingress("team-a", "shop", &ingress("", &["api.example.com"], "web"));
    sim.run(60_000);
    let spec = &sim.cluster.world.apps[&AppKey::new("team-a", "ingress-shop")].spec;
    assert_eq!(spec.hosts, ["shop.example.com"]);
    let told = told(&mut sim);
    assert_eq!(addresses(&sim, "shop"), Vec::<String>::new(), "that of another app");
    assert!(told.iter().any(|e| e.contains("NameTaken")) && !told.iter().any(|e| e.contains("Converted")), "{told:?}");
}

/// Deleted and applied again at once: the new one waits for the old one's app, and nobody has taken its name.
#[test]
fn an_ingress_made_anew_is_served_again() {
    let mut sim = start();
    let text = ingress("", &["shop.example.com"], "web");
    sim.cluster.ingress("team-a", "shop", &text);
    sim.run(60_000);
    told(&mut sim);
    sim.cluster.delete_ingress("team-a", "shop");
    sim.cluster.ingress("team-a", "shop", &text);
    sim.run(120_000);
    assert!(ready(&sim, "team-a", "ingress-shop"), "{}", sim.tail());
    assert_eq!(reached(&sim, "shop.example.com").as_deref(), Some("team-a"));
    assert_eq!(told(&mut sim), ["team-a/shop Converted: served as ExposedApp ingress-shop"]);
}

/// From Ingress to ExposedApp: the new app is applied beside, then the Ingress is deleted.
#[test]
fn one_moves_to_an_exposed_app_without_a_gap() {
    let mut sim = start();
    sim.cluster.ingress("team-a", "shop", &ingress("", &["shop.example.com"], "web"));
    sim.run(60_000);
    sim.guard = [("shop.example.com".into(), "team-a".into())].into();
    sim.cluster.app("team-a", "shop", &app("[shop.example.com]", "web"));
    sim.run(60_000);
    sim.cluster.delete_ingress("team-a", "shop");
    sim.run(200_000);
    assert_eq!(apps(&sim), ["team-a/shop"]);
    assert!(ready(&sim, "team-a", "shop"), "{}", sim.tail());
    assert_eq!(reached(&sim, "shop.example.com").as_deref(), Some("team-a"));
}

/// The labels that the policies ask for, and no others: those of tools would make them prune what they did not write.
#[test]
fn only_labels_that_policies_ask_for_are_carried_over() {
    let mut sim = start();
    let asking = policy("team-a", "[shop.example.com]");
    let asking =
        format!("{asking}rules: {{labels: [{{key: team}}, {{key: tier}}]}}\ndefaults: {{labels: {{tier: web}}}}");
    sim.cluster.policy("a", &asking);
    let bare = ingress("", &["shop.example.com"], "web");
    sim.cluster.ingress("team-a", "shop", &bare);
    sim.run(60_000);
    assert!(!ready(&sim, "team-a", "ingress-shop"), "it lacks a label");
    let labelled = bare.replace("metadata: {", "metadata: {labels: {team: a, app.kubernetes.io/instance: argo}, ");
    sim.cluster.ingress("team-a", "shop", &labelled);
    sim.run(60_000);
    assert!(ready(&sim, "team-a", "ingress-shop"), "{}", sim.tail());
    let labels = &sim.cluster.world.apps[&AppKey::new("team-a", "ingress-shop")].labels;
    let own: Vec<&str> = labels.keys().map(String::as_str).filter(|k| !k.contains('.') || k.contains("argo")).collect();
    assert_eq!(own, ["team", "tier"]);
}

#[test]
fn a_canary_adds_its_share_to_the_table() {
    let mut sim = start();
    sim.cluster.service("team-a", "next", 8080);
    sim.cluster.ingress("team-a", "shop", &ingress("", &["shop.example.com"], "web"));
    sim.run(60_000);
    let before = sim.cluster.table("team-a");
    let canary = "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '20'";
    sim.cluster.ingress("team-a", "shop-next", &ingress(canary, &["shop.example.com"], "next"));
    sim.run(60_000);
    let backends = &sim.cluster.world.apps[&AppKey::new("team-a", "ingress-shop")].spec.routes[0].backends;
    assert_eq!(backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [Some(80), Some(20)]);
    assert_ne!(sim.cluster.table("team-a"), before);
    assert_eq!(apps(&sim), ["team-a/ingress-shop"]);
    sim.cluster.delete_ingress("team-a", "shop-next");
    sim.run(60_000);
    assert_eq!(sim.cluster.table("team-a"), before);
}
