package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/webhook"
)

// A Notify is somebody or something that is told when the node has something that a
// person should know of: by a webhook, or by a command such as a mail program.
type Notify struct {
	// Name tells the target from others: letters of a to z, digits and hyphens, at
	// most 64. What a target was told is remembered under it. Needed.
	Name string `yaml:"name"`

	// Webhook is the URL that messages are posted to as Standard Webhooks: https, to the
	// public internet or to a network that web.webhook_networks names. A redirect is not
	// followed. Either Webhook or Command is needed.
	Webhook string `yaml:"webhook"`

	// SecretFile holds the secret that they are signed under, whsec_ and the base64 of 24
	// to 64 bytes, in its first line, and while it is changed the older one in its
	// second. The file must be readable by its owner only, and is read at each attempt.
	// Needed for a webhook.
	SecretFile string `yaml:"secret_file"`

	// Command is a program with its arguments, such as [/usr/sbin/sendmail,
	// dpo@northmoor.gov.uk], that is run without a shell and reads the message at its
	// standard input. The program is named by its whole path. It has a minute.
	Command []string `yaml:"command"`

	// Format of what a command reads: text, a mail with a line Subject, or json, the
	// document that a webhook is sent. Default text.
	Format string `yaml:"format"`

	// Severity is the least that is told: critical, warning or notice. Default warning.
	Severity string `yaml:"severity"`

	// Tells is what is told: conditions, of that severity; dates of review, end and
	// retention, whatever their severity; or all, both. Default all.
	Tells string `yaml:"tells"`
}

// UnmarshalYAML gives a target its defaults before it is read.
func (n *Notify) UnmarshalYAML(decode func(any) error) error {
	type plain Notify
	p := plain{Format: "text", Severity: "warning", Tells: "all"}
	if err := decode(&p); err != nil {
		return err
	}
	*n = Notify(p)
	return nil
}

// check returns what is wrong with a target, each as a key and a text, which never holds
// the URL: it may be a secret.
func (n *Notify) check(networks []string, bad func(key, format string, args ...any)) {
	if !feedName.MatchString(n.Name) {
		bad("name", "want letters of a to z, digits and hyphens, at most 64")
	}
	switch {
	case n.Webhook == "" && len(n.Command) == 0:
		bad("webhook", "want a webhook, or a command")
	case n.Webhook != "" && len(n.Command) > 0:
		bad("command", "want a webhook or a command, not both")
	case n.Webhook != "":
		allow, err := webhook.ParseAllow(networks)
		if err == nil { // else web.webhook_networks says it
			_, err = webhook.Guard{Allow: allow}.URL(n.Webhook)
		}
		if err != nil {
			bad("webhook", "%v", err)
		}
		if n.SecretFile == "" {
			bad("secret_file", "must be given for a webhook")
		}
		if n.Format != "text" { // the default
			bad("format", "is for a command: a webhook is sent JSON")
		}
	default:
		if !filepath.IsAbs(n.Command[0]) {
			bad("command", "want the whole path of the program, such as /usr/sbin/sendmail")
		}
		if n.SecretFile != "" {
			bad("secret_file", "is for a webhook")
		}
		if slices.ContainsFunc(n.Command, func(s string) bool { return strings.ContainsRune(s, 0) }) {
			bad("command", "holds a zero byte")
		}
	}
	for _, x := range []struct {
		key, got string
		want     []string
	}{
		{"format", n.Format, []string{"text", "json"}},
		{"severity", n.Severity, []string{"critical", "warning", "notice"}},
		{"tells", n.Tells, []string{"all", "conditions", "dates"}},
	} {
		if !slices.Contains(x.want, x.got) {
			bad(x.key, "want one of %s", strings.Join(x.want, ", "))
		}
	}
}

// Secrets returns the secrets of a webhook as they are written, the newest first.
func (n *Notify) Secrets() (out []string, err error) {
	b, err := readSecret(n.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("read secret_file: %w", err)
	}
	for _, line := range strings.Fields(string(b)) {
		if _, err := webhook.ParseSecret(line); err != nil {
			return nil, fmt.Errorf("read secret_file %q: %w", n.SecretFile, err)
		}
		out = append(out, line)
	}
	if len(out) == 0 || len(out) > 2 {
		return nil, fmt.Errorf("read secret_file %q: it holds %d secrets: want one, or two while it is changed", n.SecretFile, len(out))
	}
	return out, nil
}
