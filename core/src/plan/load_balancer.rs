//! What a SharedLoadBalancer is told: its shards against their quotas, what is held, and its finalizer.

use gatehouse_crds::{Condition, ShardStatus, SharedLoadBalancerStatus, keys};

use crate::aws::RefusalClass;
use crate::identity::ShardKey;
use crate::observed::Scope;
use crate::reason::Reason;

use super::condition::{Judged, condition, no, stalled, summary, yes};
use super::group::Way;
use super::{Draft, KubeWrite, Part, PartKey, View, to_json};

const PROGRAMMED: &str = "Programmed";

pub(super) fn plan(draft: &mut Draft<'_>, name: &str) {
    let view = draft.view;
    let Some(lb) = view.world.load_balancers.get(name) else { return };
    let shards: Vec<ShardKey> = view.observed.shards.keys().filter(|s| s.load_balancer == name).cloned().collect();
    // A former leader's last call may have made an ALB that no claim and no status names: only the Region's list does.
    let former = view.memory.started.plus(view.settings.call_deadline);
    let listed = view.observed.read_at(&Scope::LoadBalancers(lb.spec.region.clone())) >= former;
    let exists = !listed
        || unread(&view, name, lb).next().is_some()
        || shards.iter().any(|s| view.observed.shards[s].load_balancer.last().is_none_or(Option::is_some));
    let write = |finalizers| KubeWrite::LoadBalancerFinalizers {
        name: name.to_owned(),
        resource_version: lb.meta.resource_version,
        finalizers,
    };
    if lb.meta.deleting {
        if lb.meta.finalizer && !exists {
            draft.kube(
                format!("finalizer of {name}"),
                write(lb.meta.finalizers.iter().filter(|f| *f != keys::FINALIZER).cloned().collect()),
            );
            return;
        }
    } else if !lb.meta.finalizer {
        let mut all = lb.meta.finalizers.clone();
        all.push(keys::FINALIZER.to_owned());
        draft.kube(format!("finalizer of {name}"), write(all));
    }
    let status = load_balancer_status(draft, name, lb, &shards);
    if status != lb.status {
        draft.kube(
            format!("status of {name}"),
            KubeWrite::LoadBalancerStatus { name: name.to_owned(), status: to_json(&status) },
        );
    }
}

/// Shards that stood when the status was last written and that nobody has looked at since: a status without them would
/// be the end of what is known of them.
fn unread<'a>(
    view: &'a View<'_>,
    name: &'a str,
    lb: &'a crate::world::LoadBalancerFacts,
) -> impl Iterator<Item = &'a ShardStatus> {
    lb.status.shards.iter().filter(move |row| {
        let index = u32::try_from(row.shard).unwrap_or(0);
        let observed = view.observed.shards.get(&ShardKey { load_balancer: name.to_owned(), index });
        observed.is_none_or(|s| s.load_balancer.last().is_none())
    })
}

fn load_balancer_status(
    draft: &mut Draft<'_>,
    name: &str,
    lb: &crate::world::LoadBalancerFacts,
    shards: &[ShardKey],
) -> SharedLoadBalancerStatus {
    let view = &{ draft.view };
    let mut decision = super::inferred::decide(view, name, lb);
    let answers = super::request::answer(draft, name, lb, &mut decision.status);
    if let Some(at) = decision.wake {
        draft.wake(at);
    }
    let limits = view.observed.limits.get(&lb.spec.region).and_then(|c| c.last());
    let of = |used: usize, quota: Option<u32>| quota.map_or_else(|| format!("{used}/?"), |q| format!("{used}/{q}"));
    let mut binding: Option<(f64, String)> = None;
    let mut rows = Vec::new();
    let mut held = Vec::new();
    let mut refused = None;
    for shard in shards {
        let observed = &view.observed.shards[shard];
        let planned = super::plan(view, &PartKey::Shard(shard.clone()));
        refused = refused.or_else(|| refusal(view, &lb.status.conditions, shard, &planned));
        let Some(alb) = observed.load_balancer.last().and_then(Option::as_ref) else { continue };
        let rules = observed.rules.last().map_or(0, std::collections::BTreeMap::len);
        let groups = view.load.get(shard).map_or(0, |l| usize::try_from(l.groups()).unwrap_or(usize::MAX));
        let targets: usize = view
            .load
            .get(shard)
            .into_iter()
            .flat_map(|l| l.namespaces.keys())
            .flat_map(|ns| Way::all(shard, ns))
            .filter_map(|way| view.observed.targets.get(&way.group(view)))
            .filter_map(|c| c.last())
            .map(std::collections::BTreeMap::len)
            .sum();
        let certificates = observed.certificates.last().map_or(0, std::collections::BTreeSet::len);
        for (what, used, quota) in [
            ("rules", rules, limits.map(|l| l.rules)),
            ("target groups", groups, limits.map(|l| l.target_groups)),
            ("targets", targets, limits.map(|l| l.targets)),
            ("certificates", certificates, limits.map(|l| l.certificates)),
        ] {
            if let Some(quota) = quota {
                #[allow(clippy::cast_precision_loss, reason = "only compared, and far below 2^52")]
                let share = used as f64 / f64::from(quota.max(1));
                if binding.as_ref().is_none_or(|(most, _)| share > *most) {
                    binding = Some((share, format!("{what} {used}/{quota} on shard {}", shard.index)));
                }
            }
        }
        rows.push(ShardStatus {
            shard: i32::try_from(shard.index).unwrap_or(i32::MAX),
            arn: Some(alb.arn.clone()),
            address: Some(alb.dns_name.clone()),
            rules: of(rules, limits.map(|l| l.rules)),
            target_groups: of(groups, limits.map(|l| l.target_groups)),
            targets: of(targets, limits.map(|l| l.targets)),
            certificates: of(certificates, limits.map(|l| l.certificates)),
        });
        held.extend(planned.held);
    }
    held.extend(decision.held);
    held.extend(super::dns::unreadable(view, lb));
    rows.extend(unread(view, name, lb).cloned());
    rows.sort_by_key(|row| row.shard);
    let generation = lb.meta.generation;
    let active = rows.iter().any(|r| {
        let shard = ShardKey { load_balancer: name.to_owned(), index: u32::try_from(r.shard).unwrap_or(0) };
        let observed = view.observed.shards.get(&shard);
        observed.and_then(|s| s.load_balancer.last()).and_then(Option::as_ref).is_some_and(|alb| alb.active)
    });
    let listening = rows.iter().any(|r| {
        let shard = ShardKey { load_balancer: name.to_owned(), index: u32::try_from(r.shard).unwrap_or(0) };
        view.observed.shards.get(&shard).and_then(|s| s.listeners.last()).is_some_and(|l| l.len() == 2)
    });
    let programmed = if let Some(refused) = refused {
        refused
    } else if !held.is_empty() {
        no(PROGRAMMED, Reason::Held, held.join("; "))
    } else if !active {
        provisioning(view, name, "the ALB is not active yet")
    } else if !listening && defaultless(view, shards) {
        no(
            PROGRAMMED,
            Reason::NoCertificate,
            "the HTTPS listener waits for a default certificate: set spec.certificates.default or publish an app that one covers",
        )
    } else if !listening {
        provisioning(view, name, "its listeners are being made")
    } else {
        yes(PROGRAMMED, Reason::Programmed)
    };
    let before = &lb.status.conditions;
    let mut conditions = vec![
        condition(before, yes("Accepted", Reason::Accepted), generation, view.now.wall),
        condition(before, programmed, generation, view.now.wall),
    ];
    let (status, reason, message) = summary(&conditions);
    conditions.push(condition(before, ("Ready", status, reason, message), generation, view.now.wall));
    conditions.extend(stalled(before, &conditions, "SharedLoadBalancer", generation, view.now.wall));
    SharedLoadBalancerStatus {
        observed_generation: Some(generation),
        conditions,
        shard_count: i32::try_from(rows.len()).ok(),
        binding_quota: binding.map(|(_, text)| text),
        shards: rows,
        held,
        requests: answers.requests,
        moves: answers.moves,
        inferred_deletions: decision.status,
    }
}

/// What AWS refuses of a shard and will go on refusing until a person acts. The shard may serve all the same, as it was
/// before the change.
fn refusal(view: &View<'_>, before: &[Condition], shard: &ShardKey, planned: &Part) -> Option<Judged> {
    let observed = &view.observed.shards[shard];
    let alb = observed.load_balancer.known();
    let fresh = alb.is_some_and(|alb| alb.is_none() || observed.listeners.known().is_some());
    view.memory.refusals.iter().find_map(|(step, refusal)| {
        let ours = step.part == PartKey::Shard(shard.clone());
        // What a listener says of certificates is told to the apps whom it concerns.
        if !ours || super::certificate::STEPS.iter().any(|prefix| step.what.starts_with(prefix)) {
            return None;
        }
        let reason = match refusal.class {
            RefusalClass::Invalid => Reason::AwsRefused,
            RefusalClass::Denied => Reason::Denied,
            RefusalClass::Quota => Reason::QuotaExceeded,
            RefusalClass::Throttled | RefusalClass::Transient | RefusalClass::Stale => return None,
        };
        let message = format!("{}: {shard}: {}", field(&step.what, &refusal.message), refusal.message);
        // A step that nobody takes any more is history, and so is what was said to it. While the shard is read anew, as
        // it is after each refusal, no step is planned: then what was last seen of it decides.
        let told = || before.iter().any(|c| c.type_ == PROGRAMMED && c.message == message);
        let stands =
            planned.steps.iter().any(|s| s.key == *step) || !fresh && (wanted(view, shard, &step.what) || told());
        stands.then(|| no(PROGRAMMED, reason, message))
    })
}

/// Whether a step is still to be taken, by what was last seen of its shard.
fn wanted(view: &View<'_>, shard: &ShardKey, step: &str) -> bool {
    let Some(lb) = view.world.load_balancers.get(&shard.load_balancer) else { return false };
    let observed = &view.observed.shards[shard];
    let alb = observed.load_balancer.last().and_then(Option::as_ref);
    let Some(alb) = alb else { return step == "create load balancer" };
    match step {
        "set subnets" => alb.subnets != lb.spec.subnets.iter().map(|s| s.id.clone()).collect(),
        "set security groups" => alb.security_groups != lb.spec.security_groups.iter().cloned().collect(),
        "set address type" => alb.ip_address_type != super::shard::ip_address_type(lb.spec.ip_address_type),
        "set attributes" => {
            let have = alb.attributes.as_ref();
            super::shard::attributes(lb).iter().any(|(k, v)| have.is_some_and(|have| have.get(k) != Some(v)))
        }
        _ => step.starts_with("create listener") || step == "modify listener",
    }
}

/// The field that a step carries to AWS. A refused creation names none, but AWS's words do.
fn field(step: &str, message: &str) -> &'static str {
    let about = |word: &str| message.contains(word);
    match step {
        "set subnets" => "spec.subnets",
        "set security groups" => "spec.securityGroups",
        "set address type" => "spec.ipAddressType",
        "set attributes" => "spec.attributes",
        "create load balancer" if about("ecurity group") => "spec.securityGroups",
        "create load balancer" if about("ubnet") => "spec.subnets",
        _ if about("SSL policy") || about("SslPolicy") => "spec.sslPolicy",
        _ if about("ertificate") => "spec.certificates.default",
        _ => "spec",
    }
}

/// Whether the listener waits for a certificate, and not for AWS.
fn defaultless(view: &View<'_>, shards: &[ShardKey]) -> bool {
    shards.iter().any(|shard| {
        let lb = view.world.load_balancers.get(&shard.load_balancer);
        lb.is_some_and(|lb| super::certificate::listener::default(view, shard, lb).is_none())
    })
}

/// On its way, with what AWS said last to whom it may concern.
fn provisioning(view: &View<'_>, name: &str, what: &str) -> Judged {
    let last = view.memory.refusals.iter().find(|(step, refusal)| {
        matches!(&step.part, PartKey::Shard(s) if s.load_balancer == name) && refusal.class == RefusalClass::Transient
    });
    let words = last.map_or(String::new(), |(_, refusal)| format!("; AWS said last: {}", refusal.message));
    no(PROGRAMMED, Reason::Provisioning, format!("{what}{words}"))
}
