package simulator

import (
	"net/http"
	"strings"
)

// Bounds of one graph call.
const (
	maxGraphs       = 75
	maxNodes        = 500
	maxNodeKinds    = 15 // by version, method and object
	maxGraphDepth   = 15
	maxFailedGraphs = 14
)

// graph is subrequests that are one transaction.
type graph struct {
	GraphID          string          `json:"graphId"`
	CompositeRequest []compositeItem `json:"compositeRequest"`
}

// graphResult is what became of a graph.
type graphResult struct {
	GraphID       string   `json:"graphId"`
	GraphResponse composed `json:"graphResponse"`
	IsSuccessful  bool     `json:"isSuccessful"`
}

// runGraphs answers POST /composite/graph.
func runGraphs(s *Simulator, r *request) *answer {
	var in struct {
		Graphs []graph `json:"graphs"`
	}
	if err := strictJSON(r.body, &in); err != nil {
		return badJSON(err)
	}
	if refusal := checkGraphs(r, in.Graphs); refusal != nil {
		return refusal
	}
	var out struct {
		Graphs []graphResult `json:"graphs"`
	}
	failed := 0
	for _, g := range in.Graphs {
		result := g.halted()
		if failed <= maxFailedGraphs {
			result = g.run(s, r)
		}
		if !result.IsSuccessful {
			failed++
		}
		out.Graphs = append(out.Graphs, result)
	}
	return valueAnswer(http.StatusOK, out)
}

func (g *graph) run(s *Simulator, r *request) graphResult {
	run := &series{carrier: carrier{sim: s, req: r, groups: graphGroups}, items: g.CompositeRequest}
	ok := run.whole()
	return graphResult{g.GraphID, composed{run.results}, ok}
}

// halted is the result of a graph that comes after too many that failed.
func (g *graph) halted() graphResult {
	result := graphResult{GraphID: g.GraphID}
	for i := range g.CompositeRequest {
		result.GraphResponse.CompositeResponse = append(result.GraphResponse.CompositeResponse,
			resultOf(&g.CompositeRequest[i].ReferenceID, halted("Too many graphs of the request have failed.")))
	}
	return result
}

// checkGraphs wants what must be right before anything is processed. The
// bounds are documented, the codes are guesses.
func checkGraphs(r *request, graphs []graph) *answer {
	nodes, kinds := 0, make(map[string]bool)
	for _, g := range graphs {
		nodes += len(g.CompositeRequest)
		for _, item := range g.CompositeRequest {
			kinds[item.node()] = true
		}
	}
	switch {
	case len(graphs) == 0:
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "graphs is required")
	case len(graphs) > maxGraphs:
		return exceeded(maxGraphs, "graphs")
	case nodes > maxNodes:
		return exceeded(maxNodes, "nodes")
	case len(kinds) > maxNodeKinds:
		return exceeded(maxNodeKinds, "different nodes")
	}
	return checkEachGraph(r, graphs)
}

func checkEachGraph(r *request, graphs []graph) *answer {
	seen := make(map[string]bool, len(graphs))
	for _, g := range graphs {
		switch {
		case !goodGraphID(g.GraphID) || seen[g.GraphID]:
			return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "The graphId '"+g.GraphID+"' is not valid or is used twice")
		case len(g.CompositeRequest) == 0:
			return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "compositeRequest is required")
		case g.depth() > maxGraphDepth:
			return exceeded(maxGraphDepth, "levels")
		}
		if refusal := checkItems(r, g.CompositeRequest); refusal != nil {
			return refusal
		}
		seen[g.GraphID] = true
	}
	return nil
}

// goodGraphID wants an id to begin with a letter or digit.
func goodGraphID(id string) bool { return id != "" && isAlphanumeric(id[0]) }

// node tells which nodes are the same: those of one version, method and object.
func (item *compositeItem) node() string {
	path := strings.SplitN(strings.ToLower(item.URL), "/", 7) // "", services, data, version, sobjects, object, the rest
	return item.Method + " " + strings.Join(path[:min(len(path), 6)], "/")
}

// depth is the length of the longest chain of references.
func (g *graph) depth() int {
	deepest, depths := 0, make(map[string]int)
	for _, item := range g.CompositeRequest {
		depth := 1
		for _, match := range reference.FindAllStringSubmatch(item.URL+string(item.Body), -1) {
			depth = max(depth, depths[match[1]]+1)
		}
		depths[item.ReferenceID] = depth
		deepest = max(deepest, depth)
	}
	return deepest
}
