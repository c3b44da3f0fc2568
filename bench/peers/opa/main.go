// OPA's library on those workloads of ./dev bench cedar whose policies have been said in Rego too: one JSON line a
// workload on standard output.
//
// Every choice there is goes OPA's way: the data lies in its memory as values of its own, "is in" is closed ahead of
// time, sets of entities are objects that can be looked up, the query is prepared once, the input is a parsed value, and
// one transaction reads for all requests. Each decision is compared with the expected one before anything is timed.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

//go:embed *.rego
var sources embed.FS

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

type uid struct{ Type, Id string }

func (u uid) key() string { return u.Type + "::" + u.Id }

func keyOf(value any) string {
	fields := value.(map[string]any)
	if inner, ok := fields["__entity"]; ok {
		fields = inner.(map[string]any)
	}
	return uid{fields["type"].(string), fields["id"].(string)}.key()
}

// An attribute as Rego likes it: an entity as its key, a set of entities as an object of them.
func attribute(value any) any {
	switch one := value.(type) {
	case map[string]any:
		if _, ok := one["__entity"]; ok {
			return keyOf(one)
		}
	case []any:
		keys := map[string]any{}
		for _, element := range one {
			record, ok := element.(map[string]any)
			if !ok || record["__entity"] == nil {
				return value
			}
			keys[keyOf(record)] = true
		}
		return keys
	}
	return value
}

// data.attrs: by entity its attributes. data.reach: by entity an object of itself and all that it is in.
func dataOf(raw []map[string]any) map[string]any {
	parents := map[string][]string{}
	attrs := map[string]any{}
	for _, entity := range raw {
		key := keyOf(entity["uid"])
		parents[key] = []string{}
		for _, parent := range entity["parents"].([]any) {
			parents[key] = append(parents[key], keyOf(parent))
		}
		own := map[string]any{}
		for name, value := range entity["attrs"].(map[string]any) {
			own[name] = attribute(value)
		}
		attrs[key] = own
	}
	reach := map[string]any{}
	for key := range parents {
		seen := map[string]any{key: true}
		for open := []string{key}; len(open) > 0; {
			next := parents[open[len(open)-1]]
			open = open[:len(open)-1]
			for _, parent := range next {
				if seen[parent] == nil {
					seen[parent] = true
					open = append(open, parent)
				}
			}
		}
		reach[key] = seen
	}
	return map[string]any{"attrs": attrs, "reach": reach}
}

type request struct {
	Principal, Action, Resource uid
	Allowed                     *bool
}

func (r request) input() ast.Value {
	return must(ast.InterfaceToValue(map[string]any{
		"principal": r.Principal.key(), "action": r.Action.key(), "resource": r.Resource.key()}))
}

func run(folder, app, source string) {
	read := func(name string, into any) {
		if err := json.Unmarshal(must(os.ReadFile(filepath.Join(folder, name))), into); err != nil {
			panic(err)
		}
	}
	var entities []map[string]any
	read("entities.json", &entities)
	var requests []request
	read("requests.json", &requests)

	ctx := context.Background()
	store := inmem.NewFromObjectWithOpts(dataOf(entities), inmem.OptReturnASTValuesOnRead(true))
	transaction := must(store.NewTransaction(ctx))
	query := must(rego.New(rego.Query("data."+app+".allow"), rego.Module(app+".rego", source), rego.Store(store),
		rego.Transaction(transaction)).PrepareForEval(ctx))
	decide := func(input ast.Value) bool {
		return must(query.Eval(ctx, rego.EvalParsedInput(input), rego.EvalTransaction(transaction))).Allowed()
	}

	inputs := make([]ast.Value, len(requests))
	decisions := make([]byte, len(requests))
	for i, r := range requests {
		inputs[i] = r.input()
		decisions[i] = '0'
		if decide(inputs[i]) {
			decisions[i] = '1'
		}
		if r.Allowed == nil || *r.Allowed != (decisions[i] == '1') {
			panic(fmt.Sprintf("%s: request %d is decided otherwise than expected", folder, i))
		}
	}
	times := make([]float64, len(requests))
	for round := 0; round < 15; round++ {
		for i, input := range inputs {
			start := time.Now()
			decide(input)
			spent := float64(time.Since(start).Nanoseconds())
			if round == 0 || spent < times[i] {
				times[i] = spent
			}
		}
	}
	sort.Float64s(times)
	at := func(p float64) float64 { return times[int(p*float64(len(times)-1))] }
	fmt.Printf("{\"workload\":%q,\"p50\":%g,\"p99\":%g,\"decisions\":%q}\n", filepath.Base(folder), at(0.5), at(0.99), decisions)
}

func main() {
	folders := must(filepath.Glob(filepath.Join(os.Args[1], "B1-*")))
	sort.Strings(folders)
	for _, folder := range folders {
		app := strings.Split(filepath.Base(folder), "-")[1]
		if source, err := sources.ReadFile(app + ".rego"); err == nil {
			run(folder, app, string(source))
		}
	}
}
