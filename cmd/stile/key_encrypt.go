package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
)

func (a *app) keyEncryptCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "encrypt --passphrase-file FILE",
		Short: "Encrypt the private keys that stand in clear",
		Long: `Encrypt encrypts every private key of the data folder that is not encrypted yet, with the
passphrase in the first line of FILE, and writes into stile.yaml that the node reads it
there when it starts. The keys stay what they are: nobody else notices. A node that runs
goes on, and may be restarted at any time.

FILE must be readable by its owner only, and is best kept elsewhere than the folder's
backups: without it the keys cannot be used. On many disks the bytes of the files in
clear remain until they are overwritten, and they are in older backups.`,
		Example: `  stile key encrypt --passphrase-file /etc/stile/passphrase`,
		Args:    takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			done, err := encryptKeys(cfg, a.configFile(), file)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"encrypted": append([]string{}, done...), "passphrase_file": cfg.PassphraseFile})
			}
			if len(done) == 0 {
				a.printf("all keys are encrypted already\n")
				return nil
			}
			a.printf("encrypted %s with the passphrase in %s\n", list(done), clean(cfg.PassphraseFile))
			return nil
		},
	}
	c.Flags().StringVar(&file, "passphrase-file", "", "`file` whose first line encrypts the keys; default: the one that stile.yaml names")
	return c
}

// configFile returns where the configuration stands that load reads.
func (a *app) configFile() string {
	switch {
	case a.config != "":
		return a.config
	case a.data != "":
		return filepath.Join(a.data, config.FileName)
	}
	if path := os.Getenv(configVariable); path != "" {
		return path
	}
	return config.FileName
}

// encryptKeys encrypts what stands in clear. The configuration names the passphrase
// first: keys that are partly in clear open with it, and encrypted ones not without.
func encryptKeys(cfg *config.Config, configFile, file string) ([]string, error) {
	switch abs, err := filepath.Abs(file); {
	case err != nil:
		return nil, err
	case file == "" && cfg.PassphraseFile == "":
		return nil, misused("name the file with the passphrase, with --passphrase-file")
	case file == "" || cfg.PassphraseFile == abs:
	case cfg.PassphraseFile != "":
		return nil, failure(node.Conflict, "stile key encrypt, without --passphrase-file", "stile.yaml names another passphrase_file already")
	default:
		cfg.PassphraseFile = abs
		if _, err := readPassphrase(cfg); err != nil {
			return nil, err
		}
		if err := namePassphrase(configFile, abs); err != nil {
			return nil, err
		}
	}
	pass, err := readPassphrase(cfg)
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	return keys.Encrypt(filepath.Join(cfg.Data, "keys"), pass)
}

func readPassphrase(cfg *config.Config) ([]byte, error) {
	pass, err := cfg.Passphrase()
	if err == nil && len(pass) == 0 {
		err = fmt.Errorf("the passphrase is empty")
	}
	if err != nil {
		return nil, failure(node.Failed, "write the passphrase into a file of mode 0600", "%v", err)
	}
	return pass, nil
}

// namePassphrase adds passphrase_file to a configuration that has none. All else in the
// file, comments too, stays as it is.
func namePassphrase(configFile, passphrase string) error {
	was, err := os.ReadFile(configFile)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	st, err := os.Stat(configFile)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var out bytes.Buffer
	out.Write(was)
	if len(was) > 0 && !strings.HasSuffix(string(was), "\n") {
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "passphrase_file: %q\n", passphrase)
	if c, err := config.Parse(out.Bytes(), configFile, filepath.Dir(configFile)); err != nil || c.PassphraseFile != passphrase {
		return failure(node.Conflict, fmt.Sprintf("add the line yourself: passphrase_file: %q", passphrase), "stile.yaml cannot be added to: %v", err)
	}
	part := configFile + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, st.Mode().Perm())
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.Write(out.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(part, configFile)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
