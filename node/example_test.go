package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/node"
)

const application = `{"reference": "26/01234/HH", "organisation": "local-authority:NBR", "district": "Saltby",
	"address": "14 Albert Terrace, Saltby", "applicationType": "householder", "status": "received",
	"description": "A rear extension.", "receivedDate": "2026-10-05"}`

// founded makes a data folder and opens it; done closes it and removes it.
func founded() (n *node.Node, done func()) {
	dir, err := os.MkdirTemp("", "stile")
	if err != nil {
		log.Fatal(err)
	}
	cfg, err := node.Init(context.Background(), node.InitOptions{
		Dir: filepath.Join(dir, "data"), Council: "northmoor.gov.uk", Title: "Northmoor District Council", Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if n, err = node.Open(cfg, node.Options{}); err != nil {
		log.Fatal(err)
	}
	return n, func() {
		if err := errors.Join(n.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// Found a node, open it, put a record through its gate and list what there is.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "stile")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg, err := node.Init(ctx, node.InitOptions{Dir: filepath.Join(dir, "data"), Council: "northmoor.gov.uk"})
	if err != nil {
		log.Fatal(err)
	}
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	put, err := n.Records().Put(ctx, node.PutRequest{
		Standard: "planning-application",
		Records:  []node.Offered{{Record: []byte(application)}, {Record: []byte(`{"reference": "26/01235/HH"}`)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range put.Results {
		if len(r.Problems) > 0 {
			fmt.Printf("refused: %s %s\n", r.Problems[0].Pointer, r.Problems[0].Detail)
			continue
		}
		fmt.Printf("%s, version %d\n", r.Outcome, r.Version)
	}

	request := node.ListRequest{Standard: "planning-application"}
	for {
		page, err := n.Records().List(ctx, request)
		if err != nil {
			log.Fatal(err)
		}
		for _, r := range page.Records {
			fmt.Println(r.Council, r.Standard, r.Op)
		}
		if request.Cursor = page.Cursor; page.Cursor == "" {
			break
		}
	}
	// Output:
	// created, version 1
	// refused: /applicationType is required
	// northmoor.gov.uk standards.stile.example/planning-application@1.0.0 put
}

// See what an agreement would let out before anybody signs it.
func ExampleAgreements_Preview() {
	n, done := founded()
	defer done()
	ctx := context.Background()
	if _, err := n.Records().Put(ctx, node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Record: []byte(application)}}}); err != nil {
		log.Fatal(err)
	}
	seen, err := n.Agreements().Preview(ctx, node.AgreementRequest{Samples: 1, Document: []byte(`
agreement: northmoor.gov.uk/planning-for-saltby
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: record.district == "Saltby"
fields: [/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate]
`)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d records\n", seen.Matched, seen.Records)
	for _, s := range seen.Samples {
		fmt.Printf("%s\n", s)
	}
	p := seen.Problems[0]
	fmt.Printf("%d headings are missing: %s %s\n", len(seen.Problems), p.Pointer, p.Detail)
	// Output:
	// 1 of 1 records
	// {"applicationType":"householder","district":"Saltby","organisation":"local-authority:NBR","reference":"26/01234/HH","status":"received"}
	// 16 headings are missing: /purpose is empty
}

// Run a node, ask it through its admin socket as another process would, and stop it.
func ExampleNode_Run() {
	n, done := founded()
	defer done()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-ended:
		log.Fatal(err)
	}

	client, err := node.Dial(ctx, n.Config().AdminSocket)
	if err != nil {
		log.Fatal(err)
	}
	status, err := client.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Council, "runs:", status.Running)

	stop()
	if err := errors.Join(client.Close(), <-ended); err != nil {
		log.Fatal(err)
	}
	// Output:
	// northmoor.gov.uk runs: true
}

// Tell failures apart by their kind.
func ExampleError() {
	n, done := founded()
	defer done()
	_, err := n.Records().Show(context.Background(), node.RecordRequest{Record: "26/09999/HH", Standard: "planning-application"})
	if e, ok := errors.AsType[*node.Error](err); ok && e.Kind == node.NotFound {
		fmt.Println("there is no such record")
	}
	// Output:
	// there is no such record
}
