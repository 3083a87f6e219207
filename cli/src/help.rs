//! The help that explains what can be asked.

use clap::Command;

/// The command with its examples, exit codes and shapes of output.
pub fn attach(command: Command, name: &str) -> Command {
    let with = |c: Command, help: &str| c.after_help(text(help, name)).after_long_help(text(help, name));
    let mut command = with(command, TOP);
    for (sub, help) in [
        ("check", CHECK),
        ("plan", PLAN),
        ("render", RENDER),
        ("convert", CONVERT),
        ("rules", RULES),
        ("reasons", REASONS),
        ("trace", TRACE),
        ("test", TEST),
        ("bundle", BUNDLE),
        ("status", STATUS),
        ("completion", COMPLETION),
        ("approve", APPROVE),
        ("move", MOVE),
        ("release", RELEASE),
        ("claims", CLAIMS),
    ] {
        command = command.mut_subcommand(sub, |c| with(c, help));
    }
    command.mut_subcommand("claims", |mut claims| {
        for (sub, help) in [("transfer", TRANSFER), ("explain", EXPLAIN), ("list", LIST)] {
            claims = claims.mut_subcommand(sub, |c| with(c, help));
        }
        claims
    })
}

/// Requests end alike.
fn text(template: &str, name: &str) -> String {
    template.trim().replace("{ends}", ENDS.trim()).replace("{name}", name)
}

const TOP: &str = r"
Examples:
  {name} check -f manifests                   every fault, with field, value and cure
  {name} plan -f manifests                    load balancers, rules, records, claims, children
  {name} render -f manifests -o out           out/<namespace>.conf
  {name} convert -f ingress.yaml              the ExposedApps it becomes
  {name} check -f app --policy bundle.yaml    an app's repository, judged by the platform's rules
  {name} test policies                        suites of cases with the findings they must have
  {name} rules host                           what [host] at the end of a finding means
  kustomize build . | {name} check -f -       what another tool prints
  {name} status -n team-a                     where its apps stand, as a tree
  {name} trace shop.example.com               from DNS to the pods: where it breaks
  {name} plan --live --part team-a            what the running operator waits for
  {name} claims explain 1a2b3c4d              why a tenant was refused a host
  {name} claims transfer shop.example.com --to team-b

DIR holds YAML of ExposedApp, SharedLoadBalancer, ExposurePolicy, Namespace,
Service, Ingress and the other kinds that policies may refuse; what is left is
skipped and counted. Most flags are also environment variables, GATEHOUSE_...;
colours honour NO_COLOR.
";

const CHECK: &str = r#"
Examples:
  {name} check -f manifests
  {name} check -f platform -f team-a -R -o json
  {name} check -f manifests --now 2027-02-01   will exceptions still hold then?
  {name} check -f manifests -o sarif > gatehouse.sarif
  {name} check -f manifests --policy bundle.yaml
  {name} check -f manifests --against-cluster

Exit codes:
  0  nothing that would be refused (warnings do not count)
  1  faults: something would be refused, or would not work
  2  could not run: unreadable input, nothing to judge, no policy to judge by,
     wrong arguments

What apps are judged by may stand among the files, in others (--policy), or in a
cluster (--against-cluster, with its claims and apps). Policies' default labels are added before the review, as admission does. Apps
are taken in the order of their creationTimestamp, those without one after them
in the order of the files: of two namespaces with one host the first holds it.

JSON (fields are only ever added):
  {"version": 1,
   "summary": {"apps": 1, "faults": 1, "warnings": 0, "skipped": 0},
   "objects": [{"kind": "ExposedApp", "namespace": "team-a", "name": "shop",
     "file": "apps.yaml", "document": 1, "line": 3,
     "findings": [{"severity": "fault", "rule": "host", "field": "spec.hosts[0]",
                   "message": "value and cure", "hint": "what other files say",
                   "line": 12}]}],
   "notes": ["what could not be judged, and why"]}
  severity  fault (refused, or will not work), warning (told, admitted), audit
            (admitted by an exception, or by enforcement Audit)
  hint      null where the other files have nothing to say
  line      of the field, or of the nearest one above it that is there
  objects   only those with findings
"#;

const TEST: &str = r#"
A suite, such as shop.gatehouse-test.yaml (paths are relative to it):
  given: [../policies, namespaces.yaml]   # what the cases are judged by
  now: "2027-01-31"                       # when exceptions are judged; absent: now
  cases:
  - name: a granted host is admitted
    apply: [good.yaml]                    # files, or objects: [{apiVersion: ...}]
  - name: a foreign host is refused
    apply: [foreign.yaml]
    expect:                               # all of its findings, and no others
    - {rule: host, field: "spec.hosts[0]", message: is not available}
    - {rule: labels, severity: warning}   # fault where nothing is said

Exit codes:
  0  every case has exactly the findings it expects
  1  one has others
  2  could not run: unreadable suite or file, no suite, wrong arguments

JSON (fields are only ever added):
  {"version": 1, "summary": {"cases": 2, "failed": 1},
   "cases": [{"suite": "shop.gatehouse-test.yaml", "name": "...", "failed": true,
              "missing": ["fault [host] spec.hosts[0]"],
              "unexpected": ["warning [backend] ..."]}]}
"#;

const BUNDLE: &str = r"
Examples:
  {name} bundle export > gatehouse-bundle.yaml
  {name} check -f manifests --policy gatehouse-bundle.yaml

A bundle holds SharedLoadBalancers, ExposurePolicies, and of each Namespace its
name and its labels below grant.gatehouse.dev/. It names hosts, domains, subnets
and certificates of all teams: whoever may read the bundle may know them.

Exit codes:
  0  printed
  2  could not run: no cluster, not allowed
";

const STATUS: &str = r#"
Examples:
  {name} status -n team-a
  {name} status shop -n team-a -o json

What the apps' own statuses say needs the right to list exposedapps, which the
roles view, edit and admin carry. Claims (the platform's to read) and the pods of
edges are shown to whoever may list them.

Exit codes:
  0  every app is ready
  1  one is not, or there is no such app
  2  could not run: no cluster, not allowed

JSON (fields are only ever added):
  {"version": 1, "summary": {"apps": 1, "unready": 0},
   "apps": [{"namespace": "team-a", "name": "shop", "ready": true, "generation": 3,
     "observedGeneration": 3, "conditions": [...],
     "hosts": [{"host": "shop.example.com", "claim": {"state": "Held", "namespace": "team-a"},
                "stands": [{"host": "...", "loadBalancer": "public", "shard": 0, "ruleArn": "...",
                            "record": "...", "certificateArn": "..."}]}],
     "edge": [{"name": "...", "ready": true, "healthyTarget": true, "table": "..."}]}]}
  claim, edge  null for whoever may not read them
"#;

const RULES: &str = r"
Examples:
  {name} rules                                all of them, a line each
  {name} rules tls-mode                       why, and what to do
  {name} rules -o markdown > rules.md

Exit codes:
  0  told
  2  there is no such rule
";

const COMPLETION: &str = r"
Examples:
  {name} completion bash > /etc/bash_completion.d/gatehouse
  {name} completion zsh > ~/.zfunc/_gatehouse
  {name} completion fish > ~/.config/fish/completions/gatehouse.fish
";

const REASONS: &str = r"
Examples:
  {name} reasons                              all of them, a line each
  {name} reasons NoHealthyTarget              cause and cure
  {name} reasons -o markdown > reasons.md

Exit codes:
  0  told
  2  there is no such reason
";

const TRACE: &str = r#"
Examples:
  {name} trace shop.example.com
  {name} trace shop.example.com --path /cart/items -n team-shop
  {name} trace shop.example.com --no-dns -o json

The way: app, claim, DNS, ALB, listener, rule, target group, edge pods, route,
Services, pods. Marks: ok, BROKEN, waits (for another hop, or for time), not
visible (to you). The right to read ExposedApps, pods, ConfigMaps, Services and
EndpointSlices of the namespace is enough, which the role view carries; claims,
load balancers and the leader's plan are read where the rights suffice.

Exit codes:
  0  nothing on the way is broken or waited for, as far as it is visible
  1  something is, or there is no app for the host
  2  could not run: no cluster, not allowed to list exposedapps

JSON (fields are only ever added):
  {"version": 1, "host": "shop.example.com", "path": "/", "namespace": "team-a",
   "app": "shop", "broken": 8,
   "hops": [{"hop": "service", "mark": "broken", "at": "web", "text": "...",
     "object": "Service team-a/web", "field": "spec.ports", "cure": "..."}],
   "plan": ["what the leader waits for or holds back, about this host"]}
  hop     app, claim, dns, load-balancer, listener, rule, target-group, edge,
          route, service, pods
  mark    ok, broken, waits, hidden
  broken  index of the first broken hop, else of the first that waits, else null
  plan    null for whoever may not read it
"#;

const PLAN: &str = r#"
Examples:
  {name} plan -f manifests
  {name} plan -f manifests --cluster-id prod-eu-1 -o json
  {name} plan -f manifests --detailed-exitcode
  {name} plan --live                           a running cluster
  {name} plan --live --part team-a -o json
  kubectl -n gatehouse-system port-forward pod/LEADER 8082 &
  {name} plan --live --address 127.0.0.1:8082

Exit codes:
  0  the plan was made; with --detailed-exitcode: and there is nothing to do
  1  could not run
  2  with --detailed-exitcode only: there is something to do (with --live also:
     something waits or is held)

What is refused is not planned; it is listed with its reasons and changes no
exit code (use check for that). What only AWS can tell (ARNs, DNS names, hosted
zones, which certificate covers a host) is shown as (known after observation).

JSON (fields are only ever added):
  {"version": 1, "clusterId": "example",
   "add": [{"kind": "Rule", "name": "shop.example.com", "scope": "public#0",
            "namespace": "team-a", "values": {"priority": 12345}}],
   "refused": [{"kind": "ExposedApp", "namespace": "team-a", "name": "bad",
                "file": "apps.yaml", "line": 3, "reasons": ["..."]}],
   "faulty": [{"kind": "SharedLoadBalancer", "...": "as in refused"}],
   "notes": ["..."],
   "summary": {"add": 1, "change": 0, "destroy": 0}}
  kind    LoadBalancer, Listener, TargetGroup, Rule, Record, HostClaim, or the
          kind of a Kubernetes child
  scope   a shard (public#0) or a namespace
  faulty  planned as it stands, although it would not work

With --live the leader is found by the Lease gatehouse-operator and asked at
127.0.0.1:8082 of its pod by port-forward; the Role gatehouse-platform of its
namespace gives the right. Steps are
  ready       goes out as soon as its bucket has a token
  lane busy   another step is under way for the same object
  backing off failed, and is tried again at the time shown
and below them stands what is waited for and what is held, with the cure.

JSON with --live (fields are only ever added):
  {"version": 1, "at": "RFC 3339",
   "leader": {"identity": "pod", "since": "...", "synced": true, "mayAct": true},
   "counts": {"apps": 1, "claims": 1, "loadBalancers": 1, "ready": 0,
              "backingOff": 0, "inFlight": 0, "waiting": 1, "held": 0},
   "buckets": [{"family": "Route53", "tokens": 30, "burst": 30}],
   "inFlight": [{"order": "...", "lane": "...", "parts": [...], "ageMs": 12}],
   "parts": [{"kind": "Namespace", "name": "team-a", "waiting": ["..."],
              "held": ["..."], "looksAgain": null, "steps": [
       {"what": "...", "lane": "...", "order": "...", "state": "Ready",
        "until": null, "failures": 0, "refusal": null}]}]}
  kind   Namespace, Shard, LoadBalancer, Policy, Region, Certificates or Zones
  state  Ready, LaneBusy or BackingOff
  --part leaves buckets and counts as they are
"#;

const RENDER: &str = r"
Examples:
  {name} render -f manifests -o out
  {name} render -f manifests -o out && nginx -t -c $PWD/out/team-a.conf

Exit codes:
  0  written
  2  could not run, or could not write

Only apps that would be admitted are rendered. Give the Services too: a backend
whose Service is not in the files answers 503, as it would in the cluster.
";

const CONVERT: &str = r"
Examples:
  {name} convert -f ingress.yaml > app.yaml
  helm template chart | {name} convert -f -    with the Services of the chart
  {name} convert -f old | {name} check -f - -f policies

Exit codes:
  0  everything an Ingress says has its place in an app
  1  something is lost, or an Ingress cannot become an app: stderr names each
     field, its value and the cure
  2  could not run: unreadable input, no Ingress in it

An Ingress of any class is read. Hosts with the same routes become one app, so an
Ingress may become several. A rule without host and the default backend serve
the hosts that the same Ingress names. Give the Services too where an Ingress
names ports by name. Labels are kept, annotations are not.

On stderr: refused (no app is printed for this Ingress), lost (the app behaves
differently), needless (has no work to do here).
";

const ENDS: &str = r"
Exit codes:
  0  done
  1  refused, or not finished in time: the answer says why, or how to look later
  2  could not run: no cluster, no right, wrong arguments

The request is an annotation on the SharedLoadBalancer, and the operator's
answer stands in its status.requests; both can be read with kubectl. Who asks
needs the ClusterRole gatehouse-platform (the verb operate). Ctrl-C ends the
waiting, not the request.
";

const APPROVE: &str = r"
Examples:
  {name} approve public --digest 0a1b2c3d
  kubectl get sharedloadbalancer public -o jsonpath='{.status.held}'

What is ours in AWS and has no object in the cluster is kept, and above a share
of the load balancer's hosts only a person may let it go. The digest names the
hosts that were seen: when they have changed since, nothing is approved and the
answer names the new digest. An approval cannot be taken back once hosts go; to
keep a host, publish it again first.

{ends}
";

const MOVE: &str = r"
Examples:
  {name} move team-a --to 1
  {name} move team-a --to 1 --load-balancer public --timeout 90m

Rule, certificate and healthy targets come first on the new ALB, then the name
flips, and the old side stays until no client can remember it: an hour and more
(client_keep_alive.seconds). After 60s you have seen that it began. To undo it,
move the namespace back; also on the way.

{ends}
";

const RELEASE: &str = r"
Examples:
  {name} release shop.example.com --owner external-dns-prod

The records stay as they are; their ownership TXT names the given owner, and
Gatehouse leaves them alone from then on.

{ends}
";

const CLAIMS: &str = r"
Examples:
  {name} claims list --namespace team-a
  {name} claims explain 1a2b3c4d
  {name} claims transfer shop.example.com --to team-b
";

const TRANSFER: &str = r"
Examples:
  {name} claims transfer shop.example.com --to team-b

The new namespace needs a grant for the host. The holder's names go first, then
its rule, and then the claim changes hands: clients see the host go and come
back, unless the namespace only was made anew under its old name. To undo it,
transfer the host back.

{ends}
";

const EXPLAIN: &str = r#"
Examples:
  {name} claims explain 1a2b3c4d
  {name} claims explain team-b/shop.example.com
  {name} claims explain 1a2b3c4d -f manifests

A refused tenant reads `ask the platform team, reference 1a2b3c4d`, and not who
holds the host. This says which host and namespace it speaks of, whether a
policy grants it, whose claim stands in the way, and what can be done.

A reference is found when its host is asked for, claimed or granted by name. Of
what admission refused nothing may be stored; then ask with NAMESPACE/HOST.

Exit codes:
  0  explained
  1  no host and namespace of this cluster have that reference
  2  could not run

JSON (fields are only ever added):
  {"version": 1, "reference": "1a2b3c4d", "host": "shop.example.com",
   "namespace": "team-b", "namespaceExists": true, "apps": ["web"],
   "policies": ["team-b"], "grantedBy": ["team-b"], "own": null,
   "blockedBy": {"claim": "h.shop.example.com", "host": "shop.example.com",
     "namespace": "team-a", "namespaceGone": false, "state": "Held",
     "apps": ["web"], "placement": {"public": 0}, "since": "RFC 3339",
     "keptUntil": null, "transferTo": null},
   "verdict": "Taken", "cures": [{"what": "...", "command": "..."}]}
  verdict  Held, Free, NotGranted or Taken
"#;

const LIST: &str = r#"
Examples:
  {name} claims list
  {name} claims list --namespace team-a -o json

Exit codes:
  0  listed
  2  could not run

JSON (fields are only ever added):
  {"version": 1, "claims": [{"host": "shop.example.com", "namespace": "team-a",
    "state": "Held", "apps": ["web"], "placement": {"public": {"shard": 0}},
    "transferTo": null, "since": "RFC 3339"}]}
  since  of a released claim when it was released, else when it was made
"#;
