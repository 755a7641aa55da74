package standard

import "errors"

// The budget of one validation, in steps. A step is about 20 ns of work on an
// ordinary processor: one schema met by one value, one instruction of a pattern
// at one character. It is counted, never timed, so that a verdict is a function
// of record and standard alone. See BenchmarkCharge for what a step comes to.
//
// A record may spend a base and more with its own size, so that a small record
// cannot be dear, and none more than maxSteps.
const (
	baseSteps     = 1_000_000
	stepsPerValue = 400
	stepsPerByte  = 20
	maxSteps      = 5_000_000

	// tellFactor bounds the second walk, which says why a record does not hold,
	// by a multiple of what the first might spend.
	tellFactor = 2
	tellSteps  = 40 // of one reason, which is put together and kept
)

var errBudget = errors.New("budget spent")

// allowance is how many steps a record of so many values and bytes may spend.
func allowance(values, text int) int {
	return min(baseSteps+stepsPerValue*values+stepsPerByte*text, maxSteps)
}
