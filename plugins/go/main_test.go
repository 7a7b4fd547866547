package main

import (
	"testing"

	"schedule-merge-go/reconverge"
)

func TestTheNewerEditWins(t *testing.T) {
	older, newer := &Shift{41, "us-west"}, &Shift{42, "us-east"}
	if decide(newer, older) != reconverge.TakeIncoming.ArchiveLoser() {
		t.Error("the newer edit loses")
	}
	if decide(older, newer).Code != reconverge.KeepCurrent.ArchiveLoser().Code {
		t.Error("the older edit wins")
	}
}
