package main

import (
	"testing"

	"github.com/stile-exchange/stile/node/api"
)

// Each fact of a partner and each topic has words.
func TestFactsHaveWords(t *testing.T) {
	for _, f := range api.FactNames() {
		if factWords[f] == "" {
			t.Errorf("there are no words for the fact %s", f)
		}
	}
	for _, topic := range api.FactTopics() {
		if factTopics[topic] == "" {
			t.Errorf("there are no words for the topic %s", topic)
		}
	}
}
