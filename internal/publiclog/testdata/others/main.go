// Command others runs software for transparency logs that is not ours:
//
//	others fsck URL ORIGIN VKEY     reads a whole log and checks it (Tessera's fsck)
//	others witness ORIGIN VKEY      cosigns a log until its input ends (OmniWitness's
//	                                handler); prints its verifier key and its URL
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	sumdb "golang.org/x/mod/sumdb/note"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	var err error
	switch {
	case len(os.Args) == 5 && os.Args[1] == "fsck":
		err = check(ctx, os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 4 && os.Args[1] == "witness":
		err = serve(ctx, os.Args[2], os.Args[3])
	default:
		log.Fatal("usage: others fsck URL ORIGIN VKEY | witness ORIGIN VKEY")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func check(ctx context.Context, root, origin, vkey string) error {
	u, err := url.Parse(root)
	if err != nil {
		return err
	}
	f, err := client.NewHTTPFetcher(u, nil)
	if err != nil {
		return err
	}
	v, err := sumdb.NewVerifier(vkey)
	if err != nil {
		return err
	}
	hash := func(bundle []byte) (out [][]byte, err error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		for _, e := range b.Entries {
			out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return out, nil
	}
	if err := fsck.New(origin, v, f, hash, fsck.Opts{N: 2}).Check(ctx); err != nil {
		return err
	}
	cp, err := f.ReadCheckpoint(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("checked %s entries\n", strings.Split(string(cp), "\n")[1])
	return nil
}

func serve(ctx context.Context, origin, vkey string) error {
	logKey, err := sumdb.NewVerifier(vkey)
	if err != nil {
		return err
	}
	skey, wkey, err := sumdb.GenerateKey(nil, "witness.example/w1")
	if err != nil {
		return err
	}
	signer, err := note.NewSignerForCosignatureV1(skey)
	if err != nil {
		return err
	}
	if wkey, err = note.VKeyToCosignatureV1(wkey); err != nil {
		return err
	}
	w, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(), Signers: []sumdb.Signer{signer},
		VerifierForLog: func(_ context.Context, o string) (sumdb.Verifier, bool, error) { return logKey, o == origin, nil },
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	http.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(w).AddCheckpoint)
	fmt.Printf("%s http://%s\n", wkey, l.Addr())
	go http.Serve(l, nil)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
