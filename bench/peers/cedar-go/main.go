// cedar-go on the workloads of ./dev bench cedar: one JSON line a workload on standard output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func run(folder string) {
	read := func(name string) []byte { return must(os.ReadFile(filepath.Join(folder, name))) }
	policies := must(cedar.NewPolicySetFromBytes("policies.cedar", read("policies.cedar")))
	var entities types.EntityMap
	if err := json.Unmarshal(read("entities.json"), &entities); err != nil {
		panic(err)
	}
	var raw []struct {
		Principal, Action, Resource struct{ Type, Id string }
		Context                     types.Record
	}
	if err := json.Unmarshal(read("requests.json"), &raw); err != nil {
		panic(err)
	}
	uid := func(t, id string) types.EntityUID { return types.NewEntityUID(types.EntityType(t), types.String(id)) }
	times := make([]float64, len(raw))
	var decisions strings.Builder
	for round := 0; round < 5; round++ {
		for i, r := range raw {
			request := cedar.Request{Principal: uid(r.Principal.Type, r.Principal.Id), Action: uid(r.Action.Type, r.Action.Id),
				Resource: uid(r.Resource.Type, r.Resource.Id), Context: r.Context}
			start := time.Now()
			decision, _ := policies.IsAuthorized(entities, request)
			spent := float64(time.Since(start).Nanoseconds())
			if round == 0 || spent < times[i] {
				times[i] = spent
			}
			if round == 0 {
				if decision == cedar.Allow {
					decisions.WriteByte('1')
				} else {
					decisions.WriteByte('0')
				}
			}
		}
	}
	sort.Float64s(times)
	at := func(p float64) float64 { return times[int(p*float64(len(times)-1))] }
	fmt.Printf("{\"workload\":%q,\"p50\":%g,\"p99\":%g,\"decisions\":%q}\n", filepath.Base(folder), at(0.5), at(0.99), decisions.String())
}

func main() {
	folders := must(filepath.Glob(filepath.Join(os.Args[1], "*")))
	sort.Strings(folders)
	for _, folder := range folders {
		run(folder)
	}
}
