package condition

import "github.com/stile-exchange/stile/node/api"

// caseKinds are about single records that people let out. They are found by the node, which
// keeps the cases.
var caseKinds = []Kind{
	{Name: "handover-late", Severity: api.Critical, Means: "the last day to take over what was offered has passed: the sender is responsible still, unless it was accepted"},
	{Name: "handover-near", Severity: api.Warning, Means: "three days or fewer are left to take over what was offered, working days where the agreement counts those; or it cannot be told how many"},
	{Name: "handover-waits", Severity: api.Warning, Means: "a partner offers us records to take over, and nobody here has answered"},
	{Name: "urgent-asked", Severity: api.Critical, Means: "a partner asks for an urgent disclosure, and nobody here has answered"},
	{Name: "urgent-given", Severity: api.Critical, Means: "one person wants records disclosed urgently, and no second person has approved or refused"},
	{Name: "urgent-review", Severity: api.Warning, Means: "an urgent disclosure is over, and no person of ours has reviewed it"},
}
