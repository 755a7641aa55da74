package node_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
)

// Some tests run in a bubble of virtual time and some do not. Those that do not wait for each
// other's nodes more than they compute, so more of them go at once than there are
// processors. -parallel overrides it.
func TestMain(m *testing.M) {
	testing.Init()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	ledgertest.Outside()
	os.Exit(m.Run())
}
