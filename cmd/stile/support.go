package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/release"
)

// maxSupportLog is how much of the end of a log goes into a support bundle, in bytes.
const maxSupportLog = 4 << 20

func (a *app) supportCommand() *cobra.Command {
	var to, log string
	var list bool
	bundle := &cobra.Command{
		Use:   "bundle",
		Short: "Write what somebody needs who is to help with this node",
		Long: `Bundle writes one file (tar, compressed with gzip) that says how this node is:
its version, configuration, conditions, state of each exchange, figures, and the
names and sizes of its files. It lists what is in it, so that you can look
before you send it on.

No record, field or identifier is in it, no key and no password. Of the
configuration only what is a number, a switch, an address or a name stays; any
other text is left out. It does name councils, agreements and standards.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now().UTC()
			b := &supportBundle{app: a, at: now}
			if err := b.gather(cmd.Context(), log); err != nil {
				return err
			}
			if list {
				return b.tell("")
			}
			if to == "" {
				to = "stile-support-" + now.Format("20060102-150405") + ".tar.gz"
			}
			packed, err := b.pack()
			if err != nil {
				return err
			}
			if err := a.writeNew(to, packed, 0o600); err != nil || to == "-" {
				return err
			}
			return b.tell(to)
		},
	}
	f := bundle.Flags()
	f.StringVarP(&to, "out", "o", "", "`file` to write, - for standard output; default: stile-support- and the time, here")
	f.StringVar(&log, "log", "", "`file` with the log of stile serve, whose end is put in; the log of a systemd service: journalctl -u stile > FILE")
	f.BoolVar(&list, "list", false, "only say what would be in it")
	return noun("support", "Help others to help", "Support gathers what somebody needs who is to help with this node.", bundle)
}

// A supportBundle is what goes to whoever helps.
type supportBundle struct {
	*app
	at    time.Time
	parts []supportPart
}

type supportPart struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	What  string `json:"what"`
	body  []byte
}

func (b *supportBundle) add(name, what string, body []byte) {
	b.parts = append(b.parts, supportPart{name, len(body), what, body})
}

// addJSON adds what can be told as JSON, or why it cannot.
func (b *supportBundle) addJSON(name, what string, v any, err error) {
	if err != nil {
		b.add(name+".txt", what+": not to be had", []byte(clean(err.Error())+"\n"))
		return
	}
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		body = []byte(err.Error())
	}
	b.add(name+".json", what, append(body, '\n'))
}

func (b *supportBundle) gather(ctx context.Context, log string) error {
	b.addJSON("version", "which Stile this is", release.Of(), nil)
	cfg, err := b.load()
	if err != nil {
		// That is often what help is needed with.
		b.add("configuration.txt", "why the configuration cannot be read", []byte(clean(err.Error())+"\n"))
	} else {
		kept, err := keptConfig(b.app, cfg)
		if err != nil {
			return err
		}
		b.add("stile.yaml", "the configuration, without texts that may be secret", kept)
	}
	d := &doctor{app: b.app}
	d.examine(ctx)
	condition.Sort(d.found)
	b.addJSON("conditions", "what stile doctor finds", d.found, nil)
	status, err := b.node().Status(ctx)
	b.addJSON("status", "what stile status says: exchanges by council, agreement and standard", status, err)
	footprints, err := b.node().Footprints().List(ctx)
	b.addJSON("footprints", "the footprints this node is a member of", footprints, err)
	standards, err := b.node().Standards().List(ctx)
	b.addJSON("standards", "the standards in use", standards, err)
	if cfg != nil {
		files, err := fileList(cfg.Data)
		if err != nil {
			return err
		}
		b.add("files.txt", "names, sizes, modes and dates of the files of the data folder", files)
		if cfg.MetricsListen != "" {
			body, err := figures(ctx, cfg.MetricsListen)
			if err != nil {
				body = []byte(clean(err.Error()) + "\n")
			}
			b.add("metrics.txt", "what monitoring is told", body)
		}
	}
	if log != "" {
		body, err := tail(log, maxSupportLog)
		if err != nil {
			return err
		}
		b.add("log.txt", "the end of the log", body)
	}
	return nil
}

// plainKeys are keys of the configuration whose text is an address, a name or a word out
// of a few, and tells no secret. Text under any other key is left out.
var plainKeys = []string{"council", "data", "directory", "admin_socket", "listen", "announce", "http_listen", "metrics_listen", "accepted", "level", "format", "name", "standard", "database", "every", "severity", "tells"}

// keptConfig returns the configuration file with all text left out that may be secret.
func keptConfig(a *app, cfg *config.Config) ([]byte, error) {
	path := a.config
	if path == "" {
		path = filepath.Join(cfg.Data, config.FileName)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var walk func(n *yaml.Node, plain bool)
	walk = func(n *yaml.Node, plain bool) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				n.Content[i].HeadComment, n.Content[i].LineComment, n.Content[i].FootComment = "", "", ""
				walk(n.Content[i+1], slices.Contains(plainKeys, n.Content[i].Value))
			}
		case yaml.ScalarNode:
			if n.Tag == "!!str" && n.Value != "" && !plain {
				n.SetString("(left out)")
			}
		default:
			for _, c := range n.Content {
				walk(c, plain)
			}
		}
	}
	walk(&doc, false)
	return yaml.Marshal(&doc)
}

// fileList lists the files below a folder.
func fileList(dir string) ([]byte, error) {
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", clean(path), err)
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %12d %s %s\n", st.Mode(), st.Size(), st.ModTime().UTC().Format(time.RFC3339), clean(rel))
		return nil
	})
	return b.Bytes(), err
}

// figures asks a running node for its figures.
func figures(ctx context.Context, at string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxSupportLog))
}

// tail returns the last bytes of a file, from the beginning of a line.
func tail(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	from := max(0, st.Size()-most)
	b, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if i := bytes.IndexByte(b, '\n'); from > 0 && i >= 0 {
		b = b[i+1:]
	}
	return b, nil
}

func (b *supportBundle) pack() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	var index strings.Builder
	for _, p := range b.parts {
		fmt.Fprintf(&index, "%-20s %s\n", p.Name, p.What)
	}
	for _, p := range append([]supportPart{{Name: "CONTENTS.txt", body: []byte(index.String())}}, b.parts...) {
		h := &tar.Header{Name: "stile-support/" + p.Name, Mode: 0o600, Size: int64(len(p.body)), ModTime: b.at, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
		if _, err := w.Write(p.body); err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// tell lists what is in the bundle.
func (b *supportBundle) tell(file string) error {
	if b.json {
		return b.emit(map[string]any{"file": file, "parts": b.parts})
	}
	t := newTable("", "", "")
	for _, p := range b.parts {
		t.add(p.Name, size(uint64(p.Bytes)), p.What)
	}
	t.write(b.out, "")
	if file != "" {
		b.printf("\nwritten to %s. It names councils, agreements and standards; no record, value, key or password is in it.\n", file)
	}
	return nil
}
