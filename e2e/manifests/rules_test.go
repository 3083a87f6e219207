package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const rulesFile = "helm/gatehouse/files/rules.yaml"

func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	groups, errs := rulefmt.Parse([]byte(read(t, rulesFile)), false, model.UTF8Validation, parser.NewParser(parser.Options{}), quiet)
	for _, err := range errs {
		t.Error(err)
	}
	out := map[string]rulefmt.Rule{}
	if groups == nil {
		t.FailNow()
	}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if _, twice := out[rule.Alert]; twice || rule.Alert == "" {
				t.Errorf("%s: an alert's name is its page's, so it is there once", rule.Alert)
			}
			out[rule.Alert] = rule
		}
	}
	return out
}

// sources is all the code that registers metrics.
func sources(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, crate := range []string{"operator", "webhook", "edge"} {
		err := filepath.WalkDir(filepath.Join(rootOf(t), crate, "src"), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".rs") {
				text, failed := os.ReadFile(path)
				out.Write(text)
				return failed
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// An alert on a metric that nobody has is silent for ever, and a panel empty.
func TestExpressionsSpeakOfMetricsThatThereAre(t *testing.T) {
	code := sources(t)
	for name, rule := range alerts(t) {
		judge(t, code, name, rule.Expr)
	}
	var dashboard object
	if err := json.Unmarshal([]byte(read(t, "helm/gatehouse/files/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	panels := 0
	for _, panel := range list(dashboard["panels"]) {
		for _, target := range list(at(panel, "targets")) {
			panels++
			judge(t, code, "panel "+text(at(panel, "title")), strings.ReplaceAll(text(at(target, "expr")), "$namespace", ".*"))
		}
	}
	if panels < 10 {
		t.Errorf("only %d panels were found", panels)
	}
	// Every metric of ours is on the dashboard or in an alert, or is left out knowingly.
	everything := read(t, rulesFile) + read(t, "helm/gatehouse/files/dashboard.json")
	leftOut := map[string]string{
		"gatehouse_effects_in_flight":                 "of use to who develops it",
		"gatehouse_webhook_body_too_large_total":      "somebody's mistake, told to them",
		"gatehouse_webhook_clients_total":             "of use while client certificates are introduced",
		"gatehouse_edge_table_loads_total":            "rejected and reloads say it",
		"gatehouse_edge_table_info":                   "a hash",
		"gatehouse_edge_last_reload_duration_seconds": "of use to who develops it",
		"gatehouse_edge_access_log_lines_total":       "routes.md explains it",
		"gatehouse_edge_access_unreadable_total":      "routes.md explains it",
		"gatehouse_edge_access_lost":                  "routes.md explains it",
	}
	for _, metric := range regexp.MustCompile(`"(gatehouse_[a-z_]+)",?\s*"[A-Z]`).FindAllStringSubmatch(code, -1) {
		if !strings.Contains(everything, metric[1]) && leftOut[metric[1]] == "" {
			t.Errorf("%s is neither on the dashboard nor in an alert", metric[1])
		}
	}
}

func judge(t *testing.T, code, name, expr string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if !strings.Contains(code, `"`+strings.TrimSuffix(selector.Name, "_bucket")+`"`) {
			t.Errorf("%s: no code registers %s", name, selector.Name)
		}
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name != labels.MetricName && matcher.Type == labels.MatchEqual && !strings.Contains(code, `"`+matcher.Value+`"`) {
				t.Errorf("%s: no code says %s=%q", name, matcher.Name, matcher.Value)
			}
		}
		return nil
	})
}

func TestEveryAlertHasItsPage(t *testing.T) {
	wanted := map[string]bool{"README.md": true}
	index := read(t, "docs/runbooks/README.md")
	for name, rule := range alerts(t) {
		page := strings.ToLower(name) + ".md"
		wanted[page] = true
		text := read(t, "docs/runbooks/"+page)
		severity := rule.Labels["severity"]
		if !strings.HasPrefix(text, "# "+name+"\n") || !strings.Contains(text, "Severity: "+severity+".") {
			t.Errorf("docs/runbooks/%s does not begin with the alert's name and severity", page)
		}
		for _, part := range []string{"## What it says", "## Meanwhile", "## Look", "## Cure"} {
			if !strings.Contains(text, "\n"+part+"\n") {
				t.Errorf("docs/runbooks/%s has no part %q", page, part)
			}
		}
		if !strings.Contains(index, "["+name+"]("+page+") | "+severity+" |") {
			t.Errorf("docs/runbooks/README.md does not list %s", name)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s: says nothing", name)
		}
	}
	pages, err := os.ReadDir(filepath.Join(rootOf(t), "docs/runbooks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !wanted[page.Name()] {
			t.Errorf("docs/runbooks/%s is no alert's", page.Name())
		}
	}
	// And where the pages are served, the alert leads there.
	rules := one(t, render(t, "gatehouse", home, given, "monitoring: {rules: {enabled: true, runbooks: \"https://docs.example.com/runbooks/\"}}"), "PrometheusRule", "gatehouse")
	if text := asYAML(t, rules); !strings.Contains(text, "runbook_url: https://docs.example.com/runbooks/gatehousenoleader.md") {
		t.Error("no runbook_url leads to the page of GatehouseNoLeader")
	}
}

// A cluster where all is well, for two hours.
const healthy = `
gatehouse_leader{pod="a"} 1x120
gatehouse_leader{pod="b"} 0x120
gatehouse_effects_total{action="CreateRule", outcome="done"} 0+10x120
gatehouse_effects_total{action="CreateRule", outcome="throttled"} 0+1x120
gatehouse_effects_total{action="CreateRule", outcome="denied"} 3x120
gatehouse_effects_total{action="CreateRule", outcome="quota"} 3x120
gatehouse_effects_total{action="ChangeRecords", outcome="unknown"} 3x120
gatehouse_effects_total{action="ProbeEdge", outcome="unknown"} 0+10x120
gatehouse_plan_steps{part="Namespace", state="held"} 0x120
gatehouse_plan_steps{part="Namespace", state="backing-off"} 0 2 0x118
gatehouse_plan_steps{part="Namespace", state="waiting"} 3x120
gatehouse_certificate_expiry_timestamp_seconds{region="r", arn="a"} 8640000x120
gatehouse_webhook_cache_objects{kind="ExposedApp"} 12x120
gatehouse_webhook_seconds_bucket{endpoint="/validate", le="0.001"} 0+100x120
gatehouse_webhook_seconds_bucket{endpoint="/validate", le="2.5"} 0+100x120
gatehouse_webhook_seconds_bucket{endpoint="/validate", le="+Inf"} 0+100x120
gatehouse_webhook_tls_handshakes_failed_total 0+1x120
gatehouse_edge_table_rejected{namespace="n", pod="p"} 0x120
gatehouse_edge_nginx_up{namespace="n", pod="p"} 1x120
gatehouse_edge_reloads_total{namespace="n", result="failed"} 1x120
gatehouse_edge_reloads_total{namespace="n", result="ok"} 0+1x120
gatehouse_edge_requests_total{namespace="n", host="h", class="2xx"} 0+1000x120
gatehouse_edge_upstream_errors_total{namespace="n", host="h"} 0+10x120
`

// What is otherwise where an alert is due: lines that begin so are replaced. Nothing for it: they are gone.
var sick = map[string][2]string{
	"GatehouseNoLeader":              {"gatehouse_leader", `gatehouse_leader{pod="b"} 0x120`},
	"GatehouseDenied":                {`gatehouse_effects_total{action="CreateRule", outcome="denied"}`, `gatehouse_effects_total{action="CreateRule", outcome="denied"} 0+1x120`},
	"GatehouseQuotaReached":          {`gatehouse_effects_total{action="CreateRule", outcome="quota"}`, `gatehouse_effects_total{action="CreateRule", outcome="quota"} 0+1x120`},
	"GatehouseThrottled":             {`gatehouse_effects_total{action="CreateRule", outcome="throttled"}`, `gatehouse_effects_total{action="CreateRule", outcome="throttled"} 0+10x120`},
	"GatehouseCallsUnanswered":       {`gatehouse_effects_total{action="ChangeRecords"`, `gatehouse_effects_total{action="ChangeRecords", outcome="unknown"} 0+1x120`},
	"GatehousePlanHeld":              {`gatehouse_plan_steps{part="Namespace", state="held"}`, `gatehouse_plan_steps{part="Namespace", state="held"} 2x120`},
	"GatehousePlanStuck":             {`gatehouse_plan_steps{part="Namespace", state="backing-off"}`, `gatehouse_plan_steps{part="Namespace", state="backing-off"} 1x120`},
	"GatehouseCertificateExpires":    {"gatehouse_certificate", `gatehouse_certificate_expiry_timestamp_seconds{region="r", arn="a"} 1728000x120`},
	"GatehouseCertificateEnds":       {"gatehouse_certificate", `gatehouse_certificate_expiry_timestamp_seconds{region="r", arn="a"} 172800x120`},
	"GatehouseWebhookDown":           {"gatehouse_webhook_cache", ""},
	"GatehouseWebhookSlow":           {`gatehouse_webhook_seconds_bucket{endpoint="/validate", le="0.001"}`, ""},
	"GatehouseWebhookHandshakesFail": {"gatehouse_webhook_tls", "gatehouse_webhook_tls_handshakes_failed_total 0+10x120"},
	"GatehouseEdgeTableRejected":     {"gatehouse_edge_table", `gatehouse_edge_table_rejected{namespace="n", pod="p"} 1x120`},
	"GatehouseEdgeNginxDown":         {"gatehouse_edge_nginx", `gatehouse_edge_nginx_up{namespace="n", pod="p"} 0x120`},
	"GatehouseEdgeReloadsFail":       {`gatehouse_edge_reloads_total{namespace="n", result="failed"}`, `gatehouse_edge_reloads_total{namespace="n", result="failed"} 0+1x120`},
	"GatehouseEdgeUpstreamErrors":    {"gatehouse_edge_upstream", `gatehouse_edge_upstream_errors_total{namespace="n", host="h"} 0+100x120`},
}

// Each alert is silent where all is well, and fires where what it is about is not.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	rules := alerts(t)
	well := firing(t, rules, healthy)
	for name := range rules {
		if well[name] {
			t.Errorf("%s fires although all is well", name)
		}
		change, ok := sick[name]
		if !ok {
			t.Errorf("%s: say here when it fires", name)
			continue
		}
		var lines []string
		for _, line := range strings.Split(healthy, "\n") {
			if !strings.HasPrefix(line, change[0]) {
				lines = append(lines, line)
			}
		}
		ill := firing(t, rules, strings.Join(append(lines, change[1]), "\n"))
		if !ill[name] {
			t.Errorf("%s is silent", name)
		}
		for other := range ill {
			if other != name && !(name == "GatehouseCertificateEnds" && other == "GatehouseCertificateExpires") {
				t.Errorf("%s fires beside %s", other, name)
			}
		}
	}
	for name := range sick {
		if _, ok := rules[name]; !ok {
			t.Errorf("%s is no alert any more", name)
		}
	}
}

var emptyLines = regexp.MustCompile(`\n\s*\n+`)

// firing says which alerts fire at the end of the series: true in each minute of their `for`.
func firing(t *testing.T, rules map[string]rulefmt.Rule, series string) map[string]bool {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.ReplaceAll(strings.TrimSpace(emptyLines.ReplaceAllString(series, "\n")), "\n", "\n  "))
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	end := time.Unix(0, 0).Add(100 * time.Minute)
	out := map[string]bool{}
	for name, rule := range rules {
		fires := true
		for at := end.Add(-time.Duration(rule.For)); fires && !at.After(end); at = at.Add(time.Minute) {
			query, err := engine.NewInstantQuery(context.Background(), storage, nil, rule.Expr, at)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			result := query.Exec(context.Background())
			vector, err := result.Vector()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fires = len(vector) > 0
			query.Close()
		}
		if fires {
			out[name] = true
		}
	}
	return out
}
