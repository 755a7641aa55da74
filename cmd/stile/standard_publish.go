package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// publication is what a standards body says, on the directory's host or on a node
// of its own.
type publication struct {
	key keyFlags
	on  string
	out string
	yes bool
}

func (p *publication) register(c *cobra.Command) *cobra.Command {
	p.key.register(c, "`file` of the standards body's key")
	c.Flags().StringVar(&p.on, "on", "", "`day` from which the status holds, such as 2027-04-01; default: today")
	c.Flags().BoolVar(&p.yes, "yes", false, "do not ask")
	c.Flags().StringVar(&p.out, "out", "", "`file` for the directory's host, where this node is not the host; default: named after the body")
	return c
}

func (p *publication) day() (time.Time, error) {
	if p.on == "" {
		return today(), nil
	}
	return dayFlag("on", p.on)
}

func (a *app) standardPublishCommand() *cobra.Command {
	var p publication
	var status string
	c := p.register(&cobra.Command{
		Use:   "publish DIR|ARCHIVE… --key KEY",
		Short: "Publish standards in the directory, as their standards body",
		Long: `Publish signs standards with the key of the body they are named after and puts them
into the directory. On the directory's host they are out at once; elsewhere it writes
a file that the host takes in with "stile directory import". Several are published
together by naming them together; the next can follow when these are out.

A standard must pass stile standard lint, and its version must be as far from the one
before it as what changed asks for: a change that makes a valid record invalid needs a
new major. What is published is frozen: the same version with other bytes is refused,
here and by every node.

It begins with the status its manifest has. With --status it moves on from there, on
the day that --on names.`,
		Example: `  stile standard publish ./housing-need --key body.key --status candidate
  stile standard publish ./housing-need --key body.key --status live --on 2027-04-01`,
		Args: takes(1, -1, "folders or archives"),
		RunE: func(cmd *cobra.Command, args []string) error {
			day, err := p.day()
			if err != nil {
				return err
			}
			next := standard.Status(status)
			if status != "" && next != standard.Candidate && next != standard.Live {
				return misused("--status: want candidate or live; stile standard retire retires")
			}
			if status == "" && p.on != "" {
				return misused("--on is the day of --status: give both")
			}
			var stds []*standard.Standard
			for _, f := range args {
				std, err := a.publishable(cmd.Context(), f, stds)
				if err != nil {
					return err
				}
				stds = append(stds, std)
			}
			var names []string
			for _, s := range stds {
				if s.Name().Name.Publisher() != stds[0].Name().Name.Publisher() {
					return misused("publish the standards of one body at a time")
				}
				names = append(names, s.Name().String())
			}
			return a.bodySays(cmd.Context(), p, stds[0].Name().Name.Publisher(), "published "+strings.Join(names, ", "), func(r *tufdir.Repository, now time.Time) error {
				for _, s := range stds {
					if err := r.PublishStandard(s, now); err != nil {
						return err
					}
					if status == "" || next == s.Manifest().Status {
						continue
					}
					if err := r.SetStatus(s.Name(), next, day, now); err != nil {
						return failure(node.Refused, "statuses and days only go forward: draft, candidate, live, retired", "%v", err)
					}
				}
				return nil
			})
		},
	})
	c.Flags().StringVar(&status, "status", "", "`status` to move on to: candidate or live; default: that of the manifest")
	return c
}

// publishable reads a standard and says whether its body may publish it: it passes
// lint, and its number is right for what changed.
func (a *app) publishable(ctx context.Context, path string, with []*standard.Standard) (*standard.Standard, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, failure(node.NotFound, "look at the path again", "there is no folder or archive %q", path)
	}
	var std *standard.Standard
	var found []standard.Finding
	if st.IsDir() {
		std, found = standard.Lint(os.DirFS(path))
	} else {
		b, err := a.readFile(path, 32<<20)
		if err != nil {
			return nil, err
		}
		std, found = standard.LintArchive(b)
	}
	var problems []node.Problem
	for _, f := range found {
		if f.Severity == standard.SeverityError {
			problems = append(problems, node.Problem{Pointer: strings.TrimSuffix(f.File+"#"+f.Pointer, "#"), Rule: f.Rule, Detail: f.Detail, Fix: f.Fix})
		}
	}
	if std == nil || len(problems) > 0 {
		e := failure(node.Invalid, "stile standard lint says more; mend what it names", "%s does not pass lint: %s", path, plural(len(problems), "error", "errors"))
		e.Problems = problems
		return nil, e
	}
	if s := std.Manifest().Status; s == standard.Retired {
		return nil, failure(node.Invalid, "set status in standard.yaml to draft, candidate or live", "%s is retired already, by its manifest", std.Name())
	}
	before, err := a.versionBefore(ctx, std.Name(), with)
	if err != nil || before == nil {
		return std, err
	}
	d := standard.Compare(before, std)
	if p := standard.VersionProblem(d); p != nil {
		e := failure(node.Invalid, "stile standard diff shows each change; give it the number that the changes ask for", "%s: %s", std.Name(), p.Detail)
		for _, c := range d.Changes {
			if c.Level == d.Needs {
				problems = append(problems, node.Problem{Pointer: c.Pointer, Rule: string(c.Level), Detail: c.What, Fix: c.Why})
			}
		}
		e.Problems = problems
		return nil, e
	}
	return std, nil
}

// versionBefore returns the newest published version that is older than n, nil when
// there is none. Of the same line there may be none while there is one of an older
// major; of those with are about to be published.
func (a *app) versionBefore(ctx context.Context, n name.Standard, with []*standard.Standard) (*standard.Standard, error) {
	list, err := a.node().Published().List(ctx)
	if err != nil {
		return nil, err
	}
	var best name.Standard
	better := func(o name.Standard) bool {
		return o.Name == n.Name && o.Version.Compare(n.Version) < 0 && o.Version.Compare(best.Version) > 0
	}
	for _, p := range list {
		if better(p.Name) {
			best = p.Name
		}
	}
	for _, s := range with {
		if better(s.Name()) {
			return s, nil
		}
	}
	if best.Name == "" {
		return nil, nil
	}
	r, err := a.node().Published().Archive(ctx, node.StandardRequest{Name: best.String()})
	if err != nil {
		return nil, err
	}
	return standard.LoadArchive(r.Archive)
}

func (a *app) standardRetireCommand() *cobra.Command {
	var p publication
	return p.register(&cobra.Command{
		Use:   "retire NAME@VERSION --on DATE --key KEY",
		Short: "Say from when a published version is retired, as its standards body",
		Long: `Retire says from which day on a version of a standard should no longer be used. It
stays in the directory, so that records in it still verify, and councils that adopted
it go on as they choose.`,
		Example: `  stile standard retire standards.example/housing-need@1.2.0 --on 2028-04-01 --key body.key`,
		Args:    takes(1, 1, "a standard and its version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setStatus(cmd.Context(), p, args[0], standard.Retired)
		},
	})
}

func (a *app) standardStatusCommand() *cobra.Command {
	var p publication
	return p.register(&cobra.Command{
		Use:   "status NAME@VERSION candidate|live|retired --key KEY",
		Short: "Move a published version on in its life, as its standards body",
		Long: `Status moves a published version on, from a day on: draft, candidate, live, retired.
It never goes back, and nothing else of it changes.`,
		Example: `  stile standard status standards.example/housing-need@1.2.0 live --on 2027-04-01 --key body.key`,
		Args:    takes(2, 2, "a standard with its version, and a status"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := standard.Status(args[1])
			if !slices.Contains([]standard.Status{standard.Candidate, standard.Live, standard.Retired}, s) {
				return misused("want candidate, live or retired")
			}
			return a.setStatus(cmd.Context(), p, args[0], s)
		},
	})
}

func (a *app) setStatus(ctx context.Context, p publication, arg string, s standard.Status) error {
	n, err := name.ParseStandard(arg)
	if err != nil {
		return misused("%v", err)
	}
	day, err := p.day()
	if err != nil {
		return err
	}
	return a.bodySays(ctx, p, n.Name.Publisher(), fmt.Sprintf("%s is %s from %s", n, s, dayOf(day)), func(r *tufdir.Repository, now time.Time) error {
		err := r.SetStatus(n, s, day, now)
		if err == nil || errors.Is(err, tufdir.ErrMissing) {
			return err
		}
		return failure(node.Refused, "statuses and days only go forward: draft, candidate, live, retired", "%v", err)
	})
}

// bodySays has a body say something: published at once where the directory is hosted,
// and otherwise written into a file for the host.
func (a *app) bodySays(ctx context.Context, p publication, body name.Council, did string, edit func(*tufdir.Repository, time.Time) error) error {
	if p.key.file == "" {
		return misused("name the key of %s with --key", body)
	}
	k, err := p.key.open()
	if err != nil {
		return err
	}
	if err := a.sure(p.yes, "say for %s, which is never taken back: %s", body, did); err != nil {
		return err
	}
	mayNot := failure(node.Refused, "stile directory status, on the host, says whose key counts", "key %s may not sign for %s in this directory", shortID(k.Public().ID()), body)
	allowed := func(r *tufdir.Repository) error {
		roles := r.Roles()
		i := slices.IndexFunc(roles, func(q tufdir.RoleKeys) bool { return q.Role == string(body) })
		if i < 0 {
			return failure(node.Refused, "ask the holders of the directory to admit it: stile directory body add", "%s is not a standards body of this directory", body)
		}
		if !slices.Contains(roles[i].Keys, k.Public()) {
			return mayNot
		}
		return nil
	}
	h, err := a.hosting()
	if err == nil && !h.founding {
		o, err := a.apply(ctx, change{key: p.key, edit: func(h *hosted, now time.Time) error {
			if err := allowed(h.repo); err != nil {
				return err
			}
			return edit(h.repo, now)
		}})
		if err != nil {
			return err
		}
		return a.told(o, "%s", did)
	}
	if err != nil && !isKind(err, node.Refused) {
		return err
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	// The copy of the directory that this node serves to others is never changed:
	// what is prepared on it goes into a file.
	r, err := tufdir.Load(datadir.Mirror(cfg))
	if err != nil {
		return err
	}
	if err := allowed(r); err != nil {
		return err
	}
	if err := edit(r, time.Now()); err != nil {
		return directoryFailure(err)
	}
	if _, err := r.Sign(k); err != nil {
		return err
	}
	file, err := r.Export(string(body))
	if errors.Is(err, tufdir.ErrMissing) {
		return failure(node.Conflict, "stile standard list --published", "nothing changes: it is published already, as it is")
	}
	if err != nil {
		return err
	}
	b, err := (&request{file: file, before: r.Previous(string(body)), targets: r.Brought(string(body))}).pack()
	if err != nil {
		return err
	}
	waits := r.Waiting()
	i := slices.IndexFunc(waits, func(w tufdir.Waiting) bool { return w.Role == string(body) })
	if p.out == "" {
		p.out = fmt.Sprintf("%s-%d.signed-%s", body, waits[i].Version, shortID(k.Public().ID())[:8])
	}
	if err := a.writeNew(p.out, b, 0o644); err != nil {
		return err
	}
	if a.json {
		return a.emit(map[string]any{"did": "signed: " + did, "file": p.out, "waiting": []waitingReply{waitingOf(waits[i])}})
	}
	a.printf("signed, for the directory's host to publish: %s\n%s\n", did, p.out)
	if !waits[i].Ready {
		a.printf("waiting: %s\n", waitingOf(waits[i]).words())
	}
	a.say("next: send %s to the host, where: stile directory import --publish", p.out)
	return nil
}

func (a *app) standardFetchCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "fetch NAME@VERSION --out FILE",
		Short: "Write a published standard's archive to a file",
		Args:  takes(1, 1, "a standard and its version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Published().Archive(cmd.Context(), node.StandardRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if out == "" {
				return misused("name the file to write with --out")
			}
			if err := a.writeNew(out, r.Archive, 0o644); err != nil {
				return err
			}
			a.say("wrote %s", out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "`file` to write, a zip archive; - is standard output")
	return c
}

// listPublished prints what the directory has.
func (a *app) listPublished(ctx context.Context) error {
	rs, err := a.node().Published().List(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return emitLines(a, rs)
	}
	if len(rs) == 0 {
		a.say("the directory has no standards yet")
		return nil
	}
	t := newTable("STANDARD", "STATUS", "BODY", "ADOPTED", "SINCE AND FROM")
	for _, r := range rs {
		var steps []string
		for _, s := range r.History {
			steps = append(steps, s.Status+" "+s.On)
		}
		status := r.Status
		if !r.Held {
			status += ", not here yet"
		}
		t.add(r.Name.String(), status, string(r.Body), yesNo(r.Adopted), strings.Join(steps, ", "))
	}
	t.write(a.out, "")
	return nil
}
