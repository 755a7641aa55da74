package main

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) initCommand() *cobra.Command {
	var council, role string
	var o node.InitOptions
	c := &cobra.Command{
		Use:   "init --data FOLDER --council DOMAIN",
		Short: "Found a council's node in a new data folder",
		Long: `Init makes a data folder: the council's keys, its configuration, an empty
ledger with the standards that come with Stile, and a directory with one
member, the council itself. Nothing leaves the machine.

Whoever holds the files under keys/ can speak for the council. They are
readable by their owner alone; with --passphrase-file they are encrypted too,
and the node reads the passphrase from that file when it starts. The key that
signs records may instead stay in a security module (--record-kms): each
signature is then asked of the program sigstore-kms-NAME on PATH.

A council is known by its domain. Its ONS code (--gss) goes into its member
file, so that partners can tell whose area it is.`,
		Example: `  stile init --data /var/lib/stile --council northmoor.gov.uk \
    --title "Northmoor Borough Council" --gss E07000998`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.data == "" {
				return misused("name the folder to make with --data")
			}
			if a.config != "" {
				return misused("init writes the configuration into the data folder: --config has no meaning here")
			}
			if council == "" {
				return misused("name the council with --council, by its domain")
			}
			var err error
			if o.Council, err = name.ParseCouncil(strings.ToLower(council)); err != nil {
				return misused("%v", err)
			}
			roles := []node.Role{node.RoleCouncil, node.RoleFootprint, node.RoleStandardsBody, node.RoleAuditor, node.RoleRegulator}
			if o.Role = node.Role(role); role != "" && !slices.Contains(roles, o.Role) {
				return misused("--role: want one of %s", list(roles))
			}
			// --listen '' listens nowhere: the node only dials out.
			if o.Listen != nil {
				o.Listen = slices.DeleteFunc(o.Listen, func(l string) bool { return l == "" })
			}
			if o.Addresses == nil {
				o.Addresses = reachable(o.Listen)
			}
			o.Dir = a.data
			a.private()
			cfg, err := node.Init(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.founded(cmd, cfg, o.RecordKMS)
		},
	}
	f := c.Flags()
	f.StringVar(&council, "council", "", "`domain` of the council, such as northmoor.gov.uk")
	f.StringVar(&o.Title, "title", "", "what people call the council; default: the domain")
	f.StringVar(&o.GSS, "gss", "", "ONS `code` of the council, such as E07000998")
	f.StringVar(&role, "role", "", "council, footprint, standards-body, auditor or regulator; default: council")
	f.StringArrayVar(&o.Listen, "listen", nil, "`address` to listen on, a multiaddr; may be given again; '' for none, which only dials out; default: port 7845 of every interface, TCP and QUIC")
	f.StringArrayVar(&o.Addresses, "address", nil, "`address` at which partners reach the node, a multiaddr; may be given again; default: those of --listen that name one interface and a port")
	f.StringVar(&o.PassphraseFile, "passphrase-file", "", "`file` whose first line encrypts the keys; readable by its owner alone")
	f.StringVar(&o.RecordKMS, "record-kms", "", "`reference` of the key that signs records, such as pkcs11://token=stile;object=record; default: a key is made under keys/")
	return c
}

// reachable returns the addresses that say both where to listen and where to
// dial: those of one interface and a fixed port.
func reachable(listen []string) (out []string) {
	for _, l := range listen {
		f := strings.Split(l, "/")
		if len(f) > 4 && f[2] != "0.0.0.0" && f[2] != "::" && f[4] != "0" {
			out = append(out, l)
		}
	}
	return out
}

// founded says what init made and what to type next.
func (a *app) founded(cmd *cobra.Command, cfg *config.Config, kms string) error {
	n, err := a.open(cfg, a.err, slog.LevelWarn)
	if err != nil {
		return err
	}
	defer n.Close()
	ctx := cmd.Context()
	self, err := n.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return err
	}
	standards, err := n.Standards().List(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range standards {
		names = append(names, s.Name.String())
	}
	if a.json {
		return a.emit(map[string]any{
			"council": self.Council, "role": self.Role, "data": cfg.Data,
			"configuration": filepath.Join(cfg.Data, config.FileName),
			"listen":        cfg.Listen, "addresses": self.Addresses,
			"standards": names, "keys_encrypted": cfg.PassphraseFile != "", "record_key": kms, "member": self.Document,
		})
	}
	t := newTable("", "")
	t.add("data folder", cfg.Data)
	t.add("configuration", filepath.Join(cfg.Data, config.FileName))
	keys := "in keys/, readable by their owner alone, not encrypted"
	if cfg.PassphraseFile != "" {
		keys = "in keys/, encrypted with the passphrase in " + cfg.PassphraseFile
	}
	t.add("keys", keys)
	if kms != "" {
		t.add("record key", kms)
	}
	t.add("role", self.Role)
	t.add("listens on", strings.Join(cfg.Listen, ", "))
	t.add("partners dial", list(self.Addresses))
	t.add("standards", strings.Join(names, ", "))
	a.printf("made a node for %s (%s)\n", self.Council, clean(self.Title))
	t.write(a.out, "  ")
	if len(self.Addresses) == 0 {
		a.say("the member file names no address, so partners cannot dial this node: it will dial them")
	}
	if self.Role == string(node.RoleCouncil) && self.GSS == "" {
		a.say("no --gss was given, so the member file does not say whose area this is")
	}
	data := "--data " + quoted(a.data)
	next := newTable("", "")
	next.add("stile serve "+data, "run the node")
	next.add("stile council self "+data+" > "+string(self.Council)+".yaml", "the file your partners add with: stile council add")
	next.add("stile standard list "+data, "what records can be taken in")
	next.add("stile import FILE --standard NAME "+data, "take records in")
	a.printf("\nNext:\n")
	next.write(a.out, "  ")
	return nil
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !(r == '/' || r == '.' || r == '-' || r == '_' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z'))
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
