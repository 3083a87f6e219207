package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What Argo CD and kstatus (Flux, kpt, `helm --wait` of Helm 4) say of one object must be one verdict in two languages.
var verdicts = map[string]status.Status{
	"Progressing": status.InProgressStatus,
	"Healthy":     status.CurrentStatus,
	"Degraded":    status.FailedStatus,
}

// A case is an object as the operator leaves it, in short: its status' generation and its conditions.
type healthCase struct {
	name, kind string
	generation int64
	observed   int64 // 0: absent
	deleting   bool
	noStatus   bool
	conditions []string // type=status/reason
	argo       string
	message    string
	// What kstatus says where it is not the same verdict, and why that is so today.
	kstatus status.Status
}

// The conditions that the CRDs' defaults give a new object.
func unknown(types ...string) []string {
	var out []string
	for _, t := range types {
		out = append(out, t+"=Unknown/Pending")
	}
	return out
}

var (
	ofApp      = []string{"Accepted", "ResolvedRefs", "CertificateReady", "Programmed", "DNSReady", "NetworkPolicyApplied", "Ready"}
	ofBalancer = []string{"Accepted", "Programmed", "Ready"}
	ofPolicy   = []string{"Accepted", "Ready"}
)

// with is a list of conditions, all True but those named.
func with(types []string, others ...string) []string {
	var out []string
	for _, t := range types {
		line := t + "=True/" + t
		for _, other := range others {
			if strings.HasPrefix(other, t+"=") {
				line = other
			}
		}
		out = append(out, line)
	}
	for _, other := range others {
		if strings.HasPrefix(other, "Stalled=") {
			out = append(out, other)
		}
	}
	return out
}

var healthCases = []healthCase{
	// The life of an app.
	{name: "just made, the CRD's defaults", kind: "ExposedApp", generation: 1, conditions: unknown(ofApp...), argo: "Progressing"},
	{name: "without any status", kind: "ExposedApp", generation: 1, noStatus: true, argo: "Progressing", kstatus: status.CurrentStatus},
	{name: "the host is being claimed", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing",
		conditions: with(ofApp, "Accepted=Unknown/ClaimPending", "Programmed=Unknown/Pending", "Ready=False/ClaimPending")},
	{name: "first install: no healthy target yet", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing", message: "NoHealthyTarget",
		conditions: with(ofApp, "Programmed=False/NoHealthyTarget", "Ready=False/NoHealthyTarget")},
	{name: "the rule is on its way", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing", message: "RulePending",
		conditions: with(ofApp, "Programmed=False/RulePending", "DNSReady=Unknown/Pending", "Ready=False/RulePending")},
	{name: "ACM looks for its record", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing",
		conditions: with(ofApp, "CertificateReady=False/Validating", "Ready=False/Validating")},
	{name: "the name spreads", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing",
		conditions: with(ofApp, "DNSReady=False/Propagating", "Ready=False/Propagating")},
	{name: "published", kind: "ExposedApp", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofApp)},
	{name: "changed, and not looked at since", kind: "ExposedApp", generation: 2, observed: 1, argo: "Progressing", conditions: with(ofApp)},
	{name: "changed, and looked at", kind: "ExposedApp", generation: 2, observed: 2, argo: "Progressing",
		conditions: with(ofApp, "Programmed=False/TablePending", "Ready=False/TablePending")},
	{name: "an old fault says nothing about the new text", kind: "ExposedApp", generation: 2, observed: 1, argo: "Progressing",
		conditions: with(ofApp, "Accepted=False/HostNotAvailable", "Ready=False/HostNotAvailable", "Stalled=True/HostNotAvailable")},
	{name: "going away", kind: "ExposedApp", generation: 2, observed: 1, deleting: true, argo: "Progressing", message: "taken down",
		conditions: with(ofApp), kstatus: status.TerminatingStatus},
	{name: "going away while it could not be published", kind: "ExposedApp", generation: 1, observed: 1, deleting: true, argo: "Progressing",
		conditions: with(ofApp, "Ready=False/BackendNotFound", "Stalled=True/BackendNotFound"), kstatus: status.TerminatingStatus},

	// Faults that a person can mend.
	{name: "nobody granted the host", kind: "ExposedApp", generation: 1, observed: 1, argo: "Degraded", message: "HostNotAvailable",
		conditions: with(ofApp, "Accepted=False/HostNotAvailable", "Ready=False/HostNotAvailable", "Stalled=True/HostNotAvailable")},
	{name: "no Service of that name", kind: "ExposedApp", generation: 1, observed: 1, argo: "Degraded", message: "BackendNotFound",
		conditions: with(ofApp, "ResolvedRefs=False/BackendNotFound", "Ready=False/BackendNotFound", "Stalled=True/BackendNotFound")},
	{name: "no certificate", kind: "ExposedApp", generation: 1, observed: 1, argo: "Degraded", message: "NoCertificate",
		conditions: with(ofApp, "CertificateReady=False/NoCertificate", "Ready=False/NoCertificate", "Stalled=True/NoCertificate")},
	{name: "frozen: a policy became stricter", kind: "ExposedApp", generation: 3, observed: 3, argo: "Degraded", message: "LabelMissing",
		conditions: with(ofApp, "Accepted=False/LabelMissing", "Programmed=False/Frozen", "Ready=False/LabelMissing", "Stalled=True/LabelMissing")},
	{name: "mended: Stalled is False", kind: "ExposedApp", generation: 3, observed: 3, argo: "Healthy", conditions: with(ofApp, "Stalled=False/None")},
	// The operator goes on by itself: what AWS refuses may be another moment's matter.
	{name: "AWS refuses for a reason of its own", kind: "ExposedApp", generation: 1, observed: 1, argo: "Progressing", message: "AwsRefused",
		conditions: with(ofApp, "Programmed=False/AwsRefused", "Ready=False/AwsRefused")},
	// Told, and no reason to stop anybody.
	{name: "an older app has the same route", kind: "ExposedApp", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofApp, "ResolvedRefs=True/RouteConflict")},
	{name: "the certificate ends in a month", kind: "ExposedApp", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofApp, "CertificateReady=True/ExpiresSoon")},
	{name: "the records belong to another cluster now", kind: "ExposedApp", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofApp, "DNSReady=True/HandedOver")},

	// Load balancers.
	{name: "just made", kind: "SharedLoadBalancer", generation: 1, conditions: unknown(ofBalancer...), argo: "Progressing"},
	{name: "AWS makes the ALB", kind: "SharedLoadBalancer", generation: 1, observed: 1, argo: "Progressing", message: "Provisioning",
		conditions: with(ofBalancer, "Programmed=False/Provisioning", "Ready=False/Provisioning")},
	{name: "no app and no certificate yet", kind: "SharedLoadBalancer", generation: 1, observed: 1, argo: "Progressing",
		conditions: with(ofBalancer, "Programmed=False/NoCertificate", "Ready=False/NoCertificate")},
	{name: "active", kind: "SharedLoadBalancer", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofBalancer)},
	{name: "other subnets", kind: "SharedLoadBalancer", generation: 2, observed: 1, argo: "Progressing", conditions: with(ofBalancer)},
	{name: "a change is held back", kind: "SharedLoadBalancer", generation: 2, observed: 2, argo: "Progressing", message: "Held",
		conditions: with(ofBalancer, "Programmed=False/Held", "Ready=False/Held")},
	{name: "AWS refuses the spec", kind: "SharedLoadBalancer", generation: 2, observed: 2, argo: "Degraded", message: "AwsRefused",
		conditions: with(ofBalancer, "Programmed=False/AwsRefused", "Ready=False/AwsRefused", "Stalled=True/AwsRefused")},
	{name: "AWS denies", kind: "SharedLoadBalancer", generation: 1, observed: 1, argo: "Degraded", message: "Denied",
		conditions: with(ofBalancer, "Programmed=False/Denied", "Ready=False/Denied", "Stalled=True/Denied")},
	{name: "a quota is reached", kind: "SharedLoadBalancer", generation: 1, observed: 1, argo: "Degraded", message: "QuotaExceeded",
		conditions: with(ofBalancer, "Programmed=False/QuotaExceeded", "Ready=False/QuotaExceeded", "Stalled=True/QuotaExceeded")},
	{name: "the spec was mended a moment ago", kind: "SharedLoadBalancer", generation: 3, observed: 2, argo: "Progressing",
		conditions: with(ofBalancer, "Programmed=False/AwsRefused", "Ready=False/AwsRefused", "Stalled=True/AwsRefused")},
	{name: "taken down", kind: "SharedLoadBalancer", generation: 2, observed: 2, deleting: true, argo: "Progressing",
		conditions: with(ofBalancer), kstatus: status.TerminatingStatus},

	// Policies.
	{name: "just made", kind: "ExposurePolicy", generation: 1, conditions: unknown(ofPolicy...), argo: "Progressing"},
	{name: "without any status", kind: "ExposurePolicy", generation: 1, noStatus: true, argo: "Progressing", kstatus: status.CurrentStatus},
	{name: "read", kind: "ExposurePolicy", generation: 1, observed: 1, argo: "Healthy", conditions: with(ofPolicy)},
	{name: "changed, and not looked at since", kind: "ExposurePolicy", generation: 2, observed: 1, argo: "Progressing", conditions: with(ofPolicy)},
	{name: "a grant that cannot be read", kind: "ExposurePolicy", generation: 1, observed: 1, argo: "Degraded", message: "InvalidGrant",
		conditions: with(ofPolicy, "Accepted=False/InvalidGrant", "Ready=False/InvalidGrant", "Stalled=True/InvalidGrant")},
}

func (c healthCase) object(t *testing.T) object {
	t.Helper()
	metadata := object{"name": "x", "generation": c.generation}
	if c.deleting {
		metadata["deletionTimestamp"] = "2026-11-21T12:00:00Z"
		metadata["finalizers"] = []any{"gatehouse.dev/cleanup"}
	}
	out := object{"apiVersion": "gatehouse.dev/v1alpha1", "kind": c.kind, "metadata": metadata}
	if c.noStatus {
		return out
	}
	var conditions []any
	for _, line := range c.conditions {
		name, rest, _ := strings.Cut(line, "=")
		state, reason, _ := strings.Cut(rest, "/")
		condition := object{"type": name, "status": state, "reason": reason, "message": reason + " in words", "lastTransitionTime": "2026-11-21T12:00:00Z"}
		if c.observed > 0 {
			condition["observedGeneration"] = c.observed
		}
		conditions = append(conditions, condition)
	}
	its := object{"conditions": conditions}
	if c.observed > 0 {
		its["observedGeneration"] = c.observed
	}
	out["status"] = its
	return out
}

func TestArgoAndKstatusAgree(t *testing.T) {
	script := read(t, "config/argocd/health.lua")
	for _, c := range healthCases {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			object := c.object(t)
			said, message := argoHealth(t, script, object)
			if said != c.argo {
				t.Errorf("Argo CD says %s (%s), not %s", said, message, c.argo)
			}
			if !strings.Contains(message, c.message) {
				t.Errorf("the message is %q, without %q", message, c.message)
			}
			result, err := status.Compute(&unstructured.Unstructured{Object: object})
			if err != nil {
				t.Fatal(err)
			}
			wanted := c.kstatus
			if wanted == "" {
				wanted = verdicts[c.argo]
			}
			if result.Status != wanted {
				t.Errorf("kstatus says %s (%s), not %s", result.Status, result.Message, wanted)
			}
		})
	}
}

// The table above is made up of conditions; these are whole objects.
func TestVerdictsOnRealObjects(t *testing.T) {
	script := read(t, "config/argocd/health.lua")
	cases := parse(t, "objects.yaml", read(t, "e2e/manifests/testdata/objects.yaml"))
	if len(cases) < 10 {
		t.Fatalf("only %d objects", len(cases))
	}
	for _, c := range cases {
		o := c["object"].(object)
		name := strings.Join([]string{text(o["kind"]), text(at(o, "metadata", "name")), text(c["moment"])}, " ")
		if said, message := argoHealth(t, script, o); said != c["argo"] {
			t.Errorf("%s: Argo CD says %s (%s), not %s", name, said, message, c["argo"])
		}
		// As JSON reads numbers.
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		result, err := status.Compute(u)
		if err != nil {
			t.Fatal(err)
		}
		wanted := verdicts[text(c["argo"])]
		if text(c["kstatus"]) != "" {
			wanted = status.Status(text(c["kstatus"]))
		}
		if result.Status != wanted {
			t.Errorf("%s: kstatus says %s (%s), not %s", name, result.Status, result.Message, wanted)
		}
	}
}

// Waves wait and syncs fail by these words alone: nothing else may come out, whatever is in a status.
func TestHealthKnowsThreeWords(t *testing.T) {
	script := read(t, "config/argocd/health.lua")
	seen := map[string]bool{}
	for _, state := range []string{"True", "False", "Unknown", ""} {
		for _, stalled := range []string{"True", "False", "Unknown", ""} {
			for _, which := range []string{"ExposedApp", "SharedLoadBalancer", "ExposurePolicy", "HostClaim"} {
				for _, kind := range []string{"Ready", "Accepted", "Other"} {
					o := healthCase{kind: which, generation: 1, observed: 1, conditions: []string{kind + "=" + state + "/R", "Stalled=" + stalled + "/S"}}.object(t)
					said, _ := argoHealth(t, script, o)
					seen[said] = true
					if stalled != "True" && said == "Degraded" {
						t.Errorf("%s with %s=%q is Degraded although nobody must act", which, kind, state)
					}
				}
			}
		}
	}
	for word := range seen {
		if _, ok := verdicts[word]; !ok {
			t.Errorf("says %s", word)
		}
	}
	if len(seen) != len(verdicts) {
		t.Errorf("only %v were seen", seen)
	}
}

// The reasons above are the operator's, and those that stall here stall there.
func TestReasonsAreTheOperators(t *testing.T) {
	known := map[string]string{}
	kind, condition := "", ""
	for _, line := range strings.Split(read(t, "docs/reasons.md"), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			kind = name
		} else if name, ok := strings.CutPrefix(line, "### "); ok {
			condition = name
		} else if row, ok := strings.CutPrefix(line, "| `"); ok {
			reason, rest, _ := strings.Cut(row, "`")
			known[kind+" "+condition+" "+reason] = rest
		}
	}
	if len(known) < 60 {
		t.Fatalf("only %d reasons were found", len(known))
	}
	for _, c := range healthCases {
		stalls := map[string]bool{}
		for _, line := range c.conditions {
			if reason, ok := strings.CutPrefix(line, "Stalled=True/"); ok {
				stalls[reason] = true
			}
		}
		for _, line := range c.conditions {
			name, rest, _ := strings.Cut(line, "=")
			state, reason, _ := strings.Cut(rest, "/")
			// Ready and Stalled speak with the word of another condition; a condition that holds is made up above.
			if name == "Ready" || name == "Stalled" || state == "Unknown" || state == "True" && reason == name {
				continue
			}
			row, ok := known[c.kind+" "+name+" "+reason]
			if !ok {
				t.Errorf("%s: docs/reasons.md knows no reason %s in %s of %s", c.name, reason, name, c.kind)
			}
			if strings.HasPrefix(row, " *") != stalls[reason] {
				t.Errorf("%s: %s stalls, or does not, and docs/reasons.md says otherwise", c.name, reason)
			}
		}
	}
}

// argoHealth runs the script as Argo CD does: with the object as a global, and with few libraries.
func argoHealth(t *testing.T, script string, o object) (string, string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			t.Fatal(err)
		}
	}
	state.SetGlobal("obj", toLua(state, o))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script gives a %s, not a table", state.Get(-1).Type())
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case object:
		table := state.NewTable()
		for name, inner := range value {
			table.RawSetString(name, toLua(state, inner))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, inner := range value {
			table.Append(toLua(state, inner))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case int:
		return lua.LNumber(value)
	default:
		return lua.LNil
	}
}
