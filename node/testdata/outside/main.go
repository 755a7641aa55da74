// Outside is a program of another module: it uses what Stile makes public and
// nothing else. It founds a node in the folder it is given, puts a record and
// lists what there is; with a second argument it asks the node that runs there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) (err error) {
	council, err := name.ParseCouncil("northmoor.gov.uk")
	if err != nil {
		return err
	}
	if _, err := node.Init(ctx, node.InitOptions{Dir: dir, Council: council, Role: node.RoleCouncil, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}); err != nil {
		return err
	}
	cfg, err := config.Load(filepath.Join(dir, config.FileName))
	if err != nil {
		return err
	}
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()

	// What can be asked of a node in this process can be asked of one that runs.
	if err := work(ctx, n.Operations); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()
	client, err := node.Dial(ctx, cfg.AdminSocket)
	if err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	err = work(ctx, client.Operations)
	stop()
	return errors.Join(err, client.Close(), <-ended)
}

func work(ctx context.Context, o node.Operations) error {
	put, err := o.Records().Put(ctx, node.PutRequest{Standard: "planning-application", Records: []node.Offered{
		{Reference: "row 1", Record: []byte(`{"reference":"26/01234/HH","organisation":"local-authority:NBR","district":"Saltby","address":"14 Albert Terrace, Saltby","applicationType":"householder","status":"received","description":"A rear extension.","receivedDate":"2026-10-05"}`)},
		{Reference: "row 2", Record: []byte(`{"reference":"26/01235/HH"}`)},
	}})
	if err != nil {
		return err
	}
	for _, r := range put.Results {
		fmt.Println(r.Reference, r.Outcome, len(r.Problems) > 0)
	}
	list, err := o.Records().List(ctx, node.ListRequest{Standard: "planning-application"})
	if err != nil {
		return err
	}
	fmt.Println(len(list.Records), "record, version", list.Records[0].Version)

	_, err = o.Records().Show(ctx, node.RecordRequest{Record: "none", Standard: "planning-application"})
	if e, ok := errors.AsType[*node.Error](err); ok {
		fmt.Println(e.Kind)
	}
	return nil
}
