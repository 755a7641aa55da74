package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// scheme begins every key reference.
const scheme = "pkcs11://"

// A reference says which key of which token is meant, how to reach the token and
// where its PIN stands. It is a PKCS #11 URI (RFC 7512) behind "pkcs11://" where the
// RFC has "pkcs11:", since sigstore finds its plugins by "://".
type reference struct {
	Module string // file of the PKCS #11 module; query attribute module-path, or $PKCS11_MODULE_PATH
	Token  string // label of the token
	Serial string // serial number of the token
	Slot   *int   // slot-id
	Object string // label of the key (CKA_LABEL)
	ID     []byte // id of the key (CKA_ID)
	PIN    string // what pin-source holds
}

// parse reads a reference and the file it names as its pin-source. It accepts the
// attributes token, serial, slot-id, object, id, module-path and pin-source, each once
// (RFC 7512 section 2.3). A PIN within the reference is refused: it would stand in the
// list of processes and in the record.kms of whoever may read that.
func parse(ref string) (*reference, error) {
	rest := strings.TrimPrefix(ref, scheme) // sigstore has cut it off, a person types it
	path, query, _ := strings.Cut(rest, "?")
	r, seen, source := new(reference), map[string]bool{}, ""
	set := func(attribute string) error {
		name, raw, ok := strings.Cut(attribute, "=")
		if !ok || raw == "" {
			return fmt.Errorf("attribute %q has no value", name)
		}
		if seen[name] {
			return fmt.Errorf("attribute %q is there twice", name)
		}
		seen[name] = true
		value, err := url.PathUnescape(raw)
		if err != nil {
			return fmt.Errorf("attribute %q: a %% must be followed by two hexadecimal digits", name)
		}
		switch name {
		case "token":
			r.Token = value
		case "serial":
			r.Serial = value
		case "slot-id":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return errors.New(`attribute "slot-id" is not a number`)
			}
			r.Slot = &n
		case "object":
			r.Object = value
		case "id":
			r.ID = []byte(value)
		case "module-path":
			r.Module = value
		case "pin-source":
			source = value
		case "pin-value":
			return errors.New("a PIN does not belong in a reference; write it into a file of mode 0600 and name that with pin-source=file:/PATH")
		default:
			return fmt.Errorf("attribute %q is not known here", name)
		}
		return nil
	}
	for _, part := range []struct{ text, by string }{{path, ";"}, {query, "&"}} {
		if part.text == "" {
			continue
		}
		for a := range strings.SplitSeq(part.text, part.by) {
			if err := set(a); err != nil {
				return nil, err
			}
		}
	}
	if r.Module == "" {
		r.Module = os.Getenv("PKCS11_MODULE_PATH")
	}
	switch {
	case r.Object == "" && r.ID == nil:
		return nil, errors.New("name the key with object=LABEL or id=BYTES")
	case r.Module == "":
		return nil, errors.New("name the token's library with ?module-path=/PATH or PKCS11_MODULE_PATH")
	case !filepath.IsAbs(r.Module):
		return nil, errors.New("module-path is not an absolute path")
	case source == "":
		return nil, errors.New("name the file that holds the PIN with pin-source=file:/PATH")
	}
	named := 0
	for _, there := range []bool{r.Token != "", r.Serial != "", r.Slot != nil} {
		if there {
			named++
		}
	}
	if named != 1 {
		return nil, errors.New("name the token by one of token=LABEL, serial=NUMBER and slot-id=NUMBER")
	}
	var err error
	r.PIN, err = readPIN(source)
	return r, err
}

// readPIN returns the first line of the file that a pin-source names: a path, or a
// file URI (RFC 8089).
func readPIN(source string) (string, error) {
	file := strings.TrimPrefix(strings.TrimPrefix(source, "file:"), "//")
	if !filepath.IsAbs(file) {
		return "", errors.New("pin-source names no absolute path")
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read the PIN: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the PIN: %s can be read by others; give it mode 0600", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the PIN: %w", err)
	}
	pin, _, _ := strings.Cut(string(b), "\n")
	if pin = strings.TrimSuffix(pin, "\r"); pin == "" {
		return "", fmt.Errorf("read the PIN: the first line of %s is empty", file)
	}
	return pin, nil
}
