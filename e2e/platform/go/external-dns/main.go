// external-dns for the tests: its own flags, sources, planner, TXT registry and Route 53 provider. Only main is ours.
//
// Its own main links two dozen DNS providers with their companies' libraries: eight and a half minutes of CPU time for
// a program whose AWS provider is all that works beside us, and one of those modules is not served by the public proxy
// at the version it names. What that main does beside what is here: metrics, events, caches, and a domain filter by
// regular expression.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	log "github.com/sirupsen/logrus"

	"sigs.k8s.io/external-dns/endpoint"
	"sigs.k8s.io/external-dns/pkg/apis/externaldns"
	"sigs.k8s.io/external-dns/pkg/apis/externaldns/validation"
	"sigs.k8s.io/external-dns/plan"
	"sigs.k8s.io/external-dns/provider"
	"sigs.k8s.io/external-dns/provider/aws"
	"sigs.k8s.io/external-dns/registry"
	"sigs.k8s.io/external-dns/registry/txt"
	"sigs.k8s.io/external-dns/source"
	"sigs.k8s.io/external-dns/source/annotations"
	"sigs.k8s.io/external-dns/source/wrappers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	cfg := externaldns.NewConfig()
	if err := cfg.ParseFlags(os.Args[1:]); err != nil {
		return err
	}
	if err := validation.ValidateConfig(cfg); err != nil {
		return err
	}
	level, err := log.ParseLevel(cfg.LogLevel)
	if err != nil {
		return err
	}
	log.SetLevel(level)
	annotations.SetAnnotationPrefix(cfg.AnnotationPrefix)
	sources, err := source.NewSourceConfig(cfg)
	if err != nil {
		return err
	}
	src, err := wrappers.Build(ctx, sources)
	if err != nil {
		return err
	}
	domains := endpoint.NewDomainFilterWithOptions(endpoint.WithDomainFilter(cfg.DomainFilter))
	route53, err := aws.New(ctx, cfg, domains)
	if err != nil {
		return err
	}
	reg, err := txt.New(cfg, route53)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := once(ctx, cfg, src, reg, domains); err != nil {
			log.Errorf("round: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(cfg.Interval):
		}
	}
	return nil
}

// One round: what the zones hold against what the sources want.
func once(
	ctx context.Context, cfg *externaldns.Config, src source.Source, reg registry.Registry, domains *endpoint.DomainFilter,
) error {
	current, err := reg.Records(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, provider.RecordsContextKey, current)
	wanted, err := src.Endpoints(ctx)
	if err != nil {
		return err
	}
	wanted, err = reg.AdjustEndpoints(wanted)
	if err != nil {
		return err
	}
	round := (&plan.Plan{
		Policies:       []plan.Policy{plan.Policies[cfg.Policy]},
		Current:        current,
		Desired:        wanted,
		DomainFilter:   endpoint.MatchAllDomainFilters{domains, reg.GetDomainFilter()},
		ManagedRecords: cfg.ManagedDNSRecordTypes,
		ExcludeRecords: cfg.ExcludeDNSRecordTypes,
		OwnerID:        reg.OwnerID(),
		OldOwnerID:     cfg.TXTOwnerOld,
	}).Calculate()
	if !round.Changes.HasChanges() {
		log.Info("nothing to change")
		return nil
	}
	return reg.ApplyChanges(ctx, round.Changes)
}
