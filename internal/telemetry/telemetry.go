// Package telemetry tells a collector how long the work of a node takes: one span for
// each operation that a node is asked for, and for each page that it sends to or takes
// from a partner (OpenTelemetry traces, OTLP over HTTP).
//
// A span has the name of the operation, councils, an agreement, how many entries, and
// the kind of a failure. It never has a record, an identifier, a value, or the text of
// an error.
//
// Without Start nothing is told to anybody, and a span costs next to nothing.
package telemetry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/stile-exchange/stile/node/name"
)

const scope = "github.com/stile-exchange/stile"

// A Span is one piece of work. Its methods may be called on nil.
type Span struct {
	end func(kind string, entries int)
}

// Begin begins the span of a piece of work, such as "records/put" or "page/send". A
// partner and an agreement may be empty.
func Begin(ctx context.Context, what string, partner name.Council, a name.Agreement) (context.Context, *Span) {
	ctx, s := otel.Tracer(scope).Start(ctx, what)
	if !s.IsRecording() {
		return ctx, nil
	}
	if partner != "" {
		s.SetAttributes(attribute.String("stile.partner", string(partner)))
	}
	if a != "" {
		s.SetAttributes(attribute.String("stile.agreement", string(a)))
	}
	return ctx, &Span{func(kind string, entries int) {
		if entries > 0 {
			s.SetAttributes(attribute.Int("stile.entries", entries))
		}
		if kind != "" {
			s.SetStatus(codes.Error, kind)
		}
		s.End()
	}}
}

// End ends the span. kind says of which kind a failure was, empty for none: a word of
// ours, never the text of an error.
func (s *Span) End(kind string, entries int) {
	if s != nil {
		s.end(kind, entries)
	}
}

// Start has spans told to the collector at endpoint, such as
// https://collector.example:4318/v1/traces, until stop is called, which waits up to five
// seconds until what is still here has been told. A collector that does not answer
// costs spans and nothing else.
func Start(ctx context.Context, endpoint string, self name.Council, version string) (stop func(), err error) {
	out, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	p := trace.NewTracerProvider(trace.WithBatcher(out), trace.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "stile"),
		attribute.String("service.instance.id", string(self)),
		attribute.String("service.version", version),
	)))
	otel.SetTracerProvider(p)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		// What cannot be told by now is lost, and nobody needs to know.
		_ = p.Shutdown(ctx)
	}, nil
}
