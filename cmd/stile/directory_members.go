package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// registrarFlags are what every command of a registrar takes.
type registrarFlags struct {
	key     keyFlags
	prepare bool
	yes     bool
}

func (f *registrarFlags) register(c *cobra.Command, asks bool) *cobra.Command {
	f.key.register(c, "`file` of a key that signs it, when it is at hand and not kept on this node")
	c.Flags().BoolVar(&f.prepare, "prepare-only", false, "prepare it, and sign and publish nothing yet")
	if asks {
		c.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	}
	return c
}

func councilArg(s string) (name.Council, error) {
	c, err := name.ParseCouncil(strings.ToLower(s))
	if err != nil {
		return "", misused("%v", err)
	}
	return c, nil
}

func (a *app) directoryAdmitCommand() *cobra.Command {
	var f registrarFlags
	return f.register(&cobra.Command{
		Use:   "admit FILE",
		Short: "Admit a member, from the file it sent",
		Long: `Admit takes the file that a council's "stile council self" prints into the directory
that this node hosts. It is signed at once when the registrar's key is here or named
with --key, and otherwise waits for the registrar's signature.

Make sure by another way than the file came that the council sent it, and read the
kid of its record key to each other: from then on those keys speak for it.`,
		Args: takes(1, 1, "a member file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.memberIn(args[0])
			if err != nil {
				return err
			}
			if err := a.sure(f.yes, "admit %s, for which record key %s speaks from then on", m.Council, m.RecordKeys[0].ID()); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error { return h.repo.Admit(m, now) }})
			if err != nil {
				return err
			}
			return a.told(o, "admitted %s (%s), %s", m.Council, m.Title, m.Role)
		},
	}, true)
}

func (a *app) directoryAmendCommand() *cobra.Command {
	var f registrarFlags
	return f.register(&cobra.Command{
		Use:   "amend FILE",
		Short: "Change a member's title, addresses or contact, from the file it sent",
		Long: `Amend takes over what a member's file says of it beside its keys and its role; for
those there is rotate-key.`,
		Args: takes(1, 1, "a member file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.memberIn(args[0])
			if err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				old, err := h.member(m.Council)
				if err != nil {
					return err
				}
				// A council prints the record key it signs with; those before it stay.
				for _, k := range m.RecordKeys {
					if _, has := old.RecordKey(k.ID()); !has {
						return failure(node.Refused, "stile directory rotate-key "+string(m.Council)+" "+args[0], "the file names a record key of %s that the directory has not", m.Council)
					}
				}
				m.RecordKeys, m.ValidFrom = old.RecordKeys, old.ValidFrom
				return h.repo.Amend(m, now)
			}})
			if err != nil {
				return err
			}
			return a.told(o, "amended %s (%s)", m.Council, m.Title)
		},
	}, false)
}

// member returns a member as it will be when all that waits is published.
func (h *hosted) member(c name.Council) (directory.Member, error) {
	members, err := h.repo.Members()
	if err != nil {
		return directory.Member{}, err
	}
	for _, e := range members {
		if e.Member.Council == c {
			return e.Full(), nil
		}
	}
	return directory.Member{}, failure(node.NotFound, "stile council list", "%s is not a member", c)
}

func (a *app) directoryRemoveCommand() *cobra.Command {
	var f registrarFlags
	var on string
	var erase bool
	c := &cobra.Command{
		Use:   "remove COUNCIL",
		Short: "End a membership",
		Long: `Remove ends a membership on a day. The council stays listed with its keys, so that
what it said before still verifies, and nobody exchanges with it any more. With
--erase it is taken out, keys and all: what it said can then no longer be verified
by those who have the newest directory alone. That is for a mistake, such as a
member that was admitted under a wrong name.`,
		Args: takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := councilArg(args[0])
			if err != nil {
				return err
			}
			if erase && on != "" {
				return misused("--erase is for now: --on has no meaning with it")
			}
			day := today()
			if on != "" {
				if day, err = dayFlag("on", on); err != nil {
					return err
				}
			}
			what := fmt.Sprintf("the membership of %s ends on %s", c, dayOf(day))
			if erase {
				what = fmt.Sprintf("%s is taken out of the directory with its keys", c)
			}
			a.say("%s; every other member stops exchanging with it", what)
			if err := a.sure(f.yes, "do it"); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				if c == h.cfg.Council {
					return failure(node.Refused, "have another node host the directory first", "this node hosts the directory and cannot leave it")
				}
				if erase {
					return h.repo.Remove(c, now)
				}
				return h.repo.End(c, day, now)
			}})
			if err != nil {
				return err
			}
			return a.told(o, "%s", what)
		},
	}
	c.Flags().StringVar(&on, "on", "", "`day` from which it is no longer a member, such as 2028-04-01; default: today")
	c.Flags().BoolVar(&erase, "erase", false, "take it out, keys and all")
	return f.register(c, true)
}

func (a *app) directoryRotateCommand() *cobra.Command {
	var f registrarFlags
	var record, log, witness, peer string
	c := &cobra.Command{
		Use:   "rotate-key COUNCIL [FILE]",
		Short: "Give a member other keys, from the file it sent or one by one",
		Long: `Rotate-key takes over the keys of a member's new file, or the keys named by flags. A
new record key stands beside those there are, so that what they signed goes on
verifying; the others take the place of those before them. A key that has fallen into
other hands is revoked besides: see revoke-key.`,
		Args: takes(1, 2, "a council and its new member file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := councilArg(args[0])
			if err != nil {
				return err
			}
			byFlag := record != "" || log != "" || witness != "" || peer != ""
			if byFlag == (len(args) == 2) {
				return misused("give either the member's new file or the new keys by flags")
			}
			edit := func(h *hosted, now time.Time) error { return nil }
			if byFlag {
				change := tufdir.Rotation{Log: log, Witness: witness, Node: peer}
				if record != "" {
					b, err := a.readFile(record, 64<<10)
					if err != nil {
						return err
					}
					if change.Record, err = keys.ParseRecordPublic(b); err != nil {
						return failure(node.Invalid, "give a public key in PEM, or a JWK", "%v", err)
					}
				}
				edit = func(h *hosted, now time.Time) error { return h.repo.RotateKey(c, change, now) }
			} else {
				m, err := a.memberIn(args[1])
				if err != nil {
					return err
				}
				if m.Council != c {
					return failure(node.Refused, "look at the file again", "the file is that of %s", m.Council)
				}
				edit = func(h *hosted, now time.Time) error {
					if _, err := h.member(c); err != nil {
						return err
					}
					return h.repo.Update(m, now)
				}
			}
			a.say("from then on the new keys speak for %s: make sure by another way that they are its own", c)
			if err := a.sure(f.yes, "do it"); err != nil {
				return err
			}
			var kids []string
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				if err := edit(h, now); err != nil {
					return err
				}
				m, err := h.member(c)
				kids = nil
				for _, k := range m.RecordKeys {
					kids = append(kids, k.ID())
				}
				return err
			}})
			if err != nil {
				return err
			}
			return a.told(o, "%s has the record keys %s", c, strings.Join(kids, ", "))
		},
	}
	c.Flags().StringVar(&record, "record", "", "public key `file` of a new record key, PEM or JWK")
	c.Flags().StringVar(&log, "log", "", "new verifier `key` of its log")
	c.Flags().StringVar(&witness, "witness", "", "new verifier `key` of its cosignatures")
	c.Flags().StringVar(&peer, "node", "", "new peer `id` of its node")
	return f.register(c, true)
}

func (a *app) directoryRevokeCommand() *cobra.Command {
	var f registrarFlags
	var from string
	c := &cobra.Command{
		Use:   "revoke-key COUNCIL KID --from ENTRY",
		Short: "Say that a record key is not to be believed from an entry of its log on",
		Long: `Revoke-key says that what a record key signed is not to be believed from the entry
ENTRY of the council's log on, counted from 0. What stands before in the log, which
partners have cosigned, still verifies. A time would not do: whoever has the key can
claim any.

When more is known an earlier entry can be named, never a later one. The council
needs a new record key to go on: see rotate-key.`,
		Example: `  stile directory revoke-key northmoor.gov.uk 3q2-7w… --from 1234`,
		Args:    takes(2, 2, "a council and the kid of a key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := councilArg(args[0])
			if err != nil {
				return err
			}
			entry, err := strconv.ParseUint(from, 10, 53)
			if err != nil {
				return misused("name the first entry that is not believed with --from, a number from 0")
			}
			a.say("what %s signed with that key is not believed from entry %s of its log on; this is never taken back", c, number(entry))
			if err := a.sure(f.yes, "revoke it"); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error { return h.repo.RevokeKey(c, args[1], entry, now) }})
			if err != nil {
				return err
			}
			return a.told(o, "revoked a record key of %s from entry %s on", c, number(entry))
		},
	}
	c.Flags().StringVar(&from, "from", "", "`entry` of its log from which the key is not believed")
	return f.register(c, true)
}

func (a *app) directorySucceedCommand() *cobra.Command {
	var f registrarFlags
	var on string
	c := &cobra.Command{
		Use:   "succeed OLD NEW --on DATE",
		Short: "Say that one council takes over from another, when councils merge",
		Long: `Succeed ends the membership of OLD on a day and says that NEW took over its duties.
Both must be members. Said of several old ones it is a merger, of several new ones a
division. What the old one said still verifies; agreements name their parties and do
not pass over by themselves.`,
		Args: takes(2, 2, "the old council and the new"),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := councilArg(args[0])
			if err != nil {
				return err
			}
			young, err := councilArg(args[1])
			if err != nil {
				return err
			}
			day, err := dayFlag("on", on)
			if err != nil {
				return err
			}
			a.say("the membership of %s ends on %s", old, dayOf(day))
			if err := a.sure(f.yes, "do it"); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error { return h.repo.Succeed(old, young, day, now) }})
			if err != nil {
				return err
			}
			return a.told(o, "%s takes over from %s on %s", young, old, dayOf(day))
		},
	}
	c.Flags().StringVar(&on, "on", "", "`day` on which it does, such as 2028-04-01")
	return f.register(c, true)
}
