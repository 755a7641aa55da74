package audit

import (
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
)

// inCase reads what was said of a case in which people let out records.
func (s *claimed) inCase(ev *record.Event) (err error) {
	switch ev.Kind {
	case event.KindHandoverOffer:
		_, err = event.ParseHandoverOffer(ev.Body)
	case event.KindHandoverAnswer:
		_, err = event.ParseHandoverAnswer(ev.Body)
	case event.KindHandoverWithdrawn:
		_, err = event.ParseHandoverWithdrawn(ev.Body)
	case event.KindHandoverClosed:
		_, err = event.ParseHandoverClosed(ev.Body)
	case event.KindUrgentAsked:
		_, err = event.ParseUrgentAsked(ev.Body)
	case event.KindUrgentGiven:
		_, err = event.ParseUrgentGiven(ev.Body)
	case event.KindUrgentDecided:
		_, err = event.ParseUrgentDecided(ev.Body)
	case event.KindUrgentEnded:
		_, err = event.ParseUrgentEnded(ev.Body)
	case event.KindUrgentReviewed:
		_, err = event.ParseUrgentReviewed(ev.Body)
	}
	return err
}
