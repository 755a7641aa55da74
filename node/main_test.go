package node_test

import (
	"os"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
)

// Some tests run in a bubble of virtual time and some do not.
func TestMain(m *testing.M) {
	ledgertest.Outside()
	os.Exit(m.Run())
}
