package agreement

// SubjectsAnswered is what subject_questions says where it says something: that each party
// answers the others about records that went under the agreement, for a person who asked
// who was given them. It is a term that all parties sign, so that an answer needs no other
// consent.
const SubjectsAnswered = "answered"

// AnswersSubjects reports whether a party may ask another, under the agreement, to whom it
// gave records that went between them.
func (a *Agreement) AnswersSubjects() bool {
	return a.Subjects == SubjectsAnswered && a.Way().knowsSubjects()
}

// knowsSubjects reports whether both sides know which single records went: not where only
// counts leave, and not where who answers must not learn what was asked for.
func (w Way) knowsSubjects() bool { return w.Shows() && !w.Hidden }

// SubjectWords says in plain words what the term means; "" where it is not there.
func (a *Agreement) SubjectWords() string {
	if !a.AnswersSubjects() {
		return ""
	}
	return "when a person asks one party who was given their records, the others tell it what they hold of those that went under this agreement, and to whom they gave them; both logs hold the question and the answer"
}

func (a *Agreement) checkSubjects(say func(key, rule, detail, fix string)) {
	if a.Subjects != "" && !a.Way().knowsSubjects() {
		say("subject_questions", RuleMode, "is for modes in which both parties know which records went, and the mode is "+string(a.Mode), "remove subject_questions, or change the mode")
	}
}
