package web

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/registers"
)

// A member that is not in the list of England's councils stands on a register's map, beside
// those that are, and is marked as they are; who is neither is counted and not drawn.
func TestMembersOnTheMap(t *testing.T) {
	q := asked(t, "/", access.Viewer)
	of := func(members ...string) *hexMap {
		r := &registers.Table{Made: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC), Members: members, Rows: []registers.Row{{Cells: [][]string{{"E07000998", "E06000066", "E07000997"}}}}}
		r.Columns, r.Map = []registers.Column{{Title: "Councils"}}, "Councils"
		return q.mapOf(r)
	}
	none := of("E06000066") // Somerset
	if none.Keeps != 1 || none.Off != 2 || len(none.Rows) != 317 {
		t.Errorf("%d marked, %d off the map, %d rows", none.Keeps, none.Off, len(none.Rows))
	}
	m := of("E06000066", "E07000998", "E07000999")
	if m.Keeps != 2 || m.Members != 3 || m.Off != 1 || len(m.Rows) != 319 || strings.Count(string(m.Drawing), "<polygon ") != 319 {
		t.Errorf("%d marked, %d members, %d off the map, %d rows", m.Keeps, m.Members, m.Off, len(m.Rows))
	}
	last := m.Rows[317:]
	if last[0].GSS != "E07000998" || last[0].State != hexKeeps || last[1].State != hexMember || !strings.HasPrefix(last[0].Region, "Members that are not in the list") {
		t.Errorf("%+v", last)
	}
	if !strings.Contains(string(m.Drawing), `font-weight="bold" fill="#0b0c0c">Members that are not in the list`) || strings.Contains(string(none.Drawing), "Members that are not") {
		t.Error("their block has no name, or is there without any")
	}
}
