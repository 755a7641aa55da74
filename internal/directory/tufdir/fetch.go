package tufdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

// A Fetcher returns the file at a path of a directory's tree, as the package
// comment lists them, from somebody who holds one. Nobody's files are believed
// before they are verified, so it need not be a trusted somebody.
//
// It reads at most max bytes of it and then gives up with an error wrapping
// [ErrTooLong]. Where there is no such file the error wraps [ErrMissing]; that
// is the normal answer to the question for a newer root. Any other error means
// that nothing is known. A Fetcher may be called concurrently and returns when
// ctx ends.
type Fetcher func(ctx context.Context, path string, max int64) ([]byte, error)

// FromFS returns a Fetcher of the tree in fsys, such as os.DirFS of a
// host's folder or of a stick that was carried over.
func FromFS(fsys fs.FS) Fetcher {
	return func(ctx context.Context, path string, max int64) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := fsys.Open(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return nil, ErrMissing
		} else if err != nil {
			return nil, err
		}
		defer f.Close()
		return readMax(f, max)
	}
}

// FromHTTP returns a Fetcher of the tree under base, an http or https address,
// as a [Mirror] serves it. It follows no redirection, for it would be led by a
// stranger to wherever this machine can reach. A nil client is
// http.DefaultClient.
func FromHTTP(client *http.Client, base string) (Fetcher, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("directory address: want http:// or https://, a host, and at most a path")
	}
	if client == nil {
		client = http.DefaultClient
	}
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	base = strings.TrimSuffix(base, "/")
	return func(ctx context.Context, path string, max int64) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/"+path, nil)
		if err != nil {
			return nil, err
		}
		res, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			return readMax(res.Body, max)
		case http.StatusNotFound, http.StatusGone:
			return nil, ErrMissing
		}
		return nil, fmt.Errorf("answered with status %d", res.StatusCode)
	}, nil
}

func readMax(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, ErrTooLong
	}
	return b, nil
}
