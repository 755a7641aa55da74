package condition

import (
	"time"

	"github.com/stile-exchange/stile/node/api"
)

// verifyWithin is how old the last verification of a backup may be.
const verifyWithin = 90 * 24 * time.Hour

// backupKinds are about the backups that a node makes by itself.
var backupKinds = []Kind{
	{
		Name: "backup-failed", Severity: api.Warning, Means: "the last backup that the node was to make by itself did not succeed",
		find: func(f *Facts, say func(api.Condition)) {
			if b := f.Backup; b.Folder != "" && b.Failed != "" {
				say(api.Condition{Text: "the last backup was not made", Cause: b.Failed, Try: "mend the cause: it is tried again every ten minutes; or make one now: stile backup"})
			}
		},
	},
	{
		Name: "backup-overdue", Severity: api.Warning, Means: "no backup was made within one and a half times the hours that `backup: every` says",
		find: func(f *Facts, say func(api.Condition)) {
			b := f.Backup
			if b.Folder == "" {
				return
			}
			late := b.Every + b.Every/2
			switch {
			case b.Made.IsZero() && f.Running && !f.Started.IsZero() && f.Now.Sub(f.Started) > time.Hour, b.Made.IsZero() && !f.Running:
				say(api.Condition{Text: "no backup was ever made", Cause: "one is wanted every " + age(b.Every) + " in " + b.Folder, Try: "stile serve makes them; or make one now: stile backup"})
			case !b.Made.IsZero() && f.Now.Sub(b.Made) > late:
				say(api.Condition{Text: "the newest backup is " + age(f.Now.Sub(b.Made)) + " old", Cause: "one is wanted every " + age(b.Every) + " in " + b.Folder, Try: "stile serve makes them; or make one now: stile backup"})
			}
		},
	},
	{
		Name: "backup-unverified", Severity: api.Warning, Means: "the node makes backups, and none was verified within 90 days",
		find: func(f *Facts, say func(api.Condition)) {
			b := f.Backup
			const try = "stile backup verify FILE --identity FILE --data DIR, where the identity is kept"
			switch {
			case b.Folder == "" || b.Made.IsZero():
			case b.Verified.IsZero():
				say(api.Condition{Text: "no backup was ever verified", Cause: "nobody knows whether one can be read", Try: try})
			case f.Now.Sub(b.Verified) > verifyWithin:
				say(api.Condition{Text: "no backup was verified for " + age(f.Now.Sub(b.Verified)), Cause: "nobody knows whether the newest can be read", Try: try})
			}
		},
	},
}
