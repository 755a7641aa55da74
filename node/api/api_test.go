package api_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stile-exchange/stile/node/api"
)

// A cursor leads back to where it was made, and a text that is none is the asker's
// mistake.
func TestCursor(t *testing.T) {
	for _, at := range []uint64{0, 1, 35, 36, 1 << 48, math.MaxUint64} {
		if got, err := api.CursorAt(api.CursorOf(at)); got != at || err != nil {
			t.Errorf("position %d: got %d, %v", at, got, err)
		}
	}
	if c := api.CursorOf(0); c != "" {
		t.Errorf("the first page has the cursor %q", c)
	}
	for _, c := range []api.Cursor{"-1", "?", " 1", "3w5e11264sgsg"} {
		_, err := api.CursorAt(c)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Kind != api.Usage || e.Try == "" {
			t.Errorf("cursor %q: %v", c, err)
		}
	}
}

// What wraps a failure is of its kind.
func TestIsNotFound(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{api.Fail(api.NotFound, "", "%q", "x"), true},
		{fmt.Errorf("show: %w", api.Fail(api.NotFound, "", "x")), true},
		{api.Fail(api.Conflict, "", "x"), false},
		{errors.New("not-found"), false},
		{nil, false},
	} {
		if got := api.IsNotFound(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
