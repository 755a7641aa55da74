package quota

import (
	"io"
	"net/http"
	"time"
)

// How slowly the body of a request may come.
const (
	bodyGrace   = 30 * time.Second // for the first of it
	bodySlowest = 1 << 10          // bytes in a second, after that
)

// Steady bounds how slowly the body of r, which w answers, may come: after half a minute it has to
// have come at 1 KiB a second all in all. A body that is slower ends with an error that wraps
// [os.ErrDeadlineExceeded]. At the end of the body the connection's read deadline is taken back, since
// it would end the reply too.
func Steady(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &steady{ReadCloser: r.Body, rc: http.NewResponseController(w), began: time.Now()}
	}
}

type steady struct {
	io.ReadCloser
	rc    *http.ResponseController
	began time.Time
	n     int64
}

func (b *steady) Read(p []byte) (int, error) {
	b.rc.SetReadDeadline(b.began.Add(bodyGrace + time.Duration(b.n/bodySlowest)*time.Second))
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if err != nil {
		b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}
