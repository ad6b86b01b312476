package simulator

import (
	"net/http"
	"slices"
	"strings"
)

// find leads a request to its endpoint, or answers that there is none.
func find(r *request) (endpoint, *answer) {
	res := lookUp(r)
	if res == nil {
		return endpoint{}, notFound()
	}
	ep, ok := res[r.method]
	if ok {
		return ep, nil
	}
	allowed := make([]string, 0, len(res))
	for method := range res {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	ans := errorAnswer(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
		"HTTP Method '"+r.method+"' not allowed. Allowed are "+strings.Join(allowed, ","))
	ans.header.Set("Allow", strings.Join(allowed, ","))
	return endpoint{}, ans
}

const jsonContent = "application/json"

// lookUp finds the resource of a path; nil if there is none.
func lookUp(r *request) resource {
	path := r.segments
	switch {
	case len(path) == 3 && path[0] == "services" && path[1] == "oauth2":
		return oauthResources[path[2]]
	case len(path) == 3 && path[0] == "id":
		return resource{"GET": {kind: "oauth", free: true, run: showIdentity}}
	case len(path) < 2 || path[0] != "services" || path[1] != "data":
		return nil
	case len(path) == 2:
		return resource{"GET": {kind: "versions", free: true, run: listVersions}}
	}
	r.version = parseVersion(path[2])
	r.segments = path[3:]
	return dataResource(r)
}

var oauthResources = map[string]resource{
	"token":      {"POST": {kind: "token", free: true, run: grantToken}},
	"revoke":     {"POST": {kind: "oauth", free: true, run: revokeToken}},
	"introspect": {"POST": {kind: "oauth", free: true, run: introspectToken}},
	"userinfo":   {"GET": {kind: "oauth", run: showUserInfo}},
}

// dataResource is the part below /services/data/vXX.X.
func dataResource(r *request) resource {
	path := r.segments
	if len(path) == 0 {
		return resource{"GET": {kind: "versions", run: listResources}}
	}
	switch path[0] {
	case "limits":
		return only(len(path) == 1, resource{"GET": {kind: "limits", run: showLimits}})
	case "query", "queryAll":
		return only(len(path) <= 2, resource{"GET": {kind: "query", object: queriedObject, run: runQuery}})
	case "sobjects":
		return rowResource(path[1:])
	case "composite":
		return compositeResource(r)
	case "jobs":
		return only(len(path) > 1 && path[1] == "ingest" && r.version >= sinceIngest, jobResource(r))
	default:
		return nil
	}
}

func only(ok bool, res resource) resource {
	if !ok {
		return nil
	}
	return res
}

// rowObject is the object of paths below sobjects.
func rowObject(_ *Simulator, r *request) string { return r.segments[1] }

// collectionObject is the object of paths below composite/sobjects and composite/tree.
func collectionObject(_ *Simulator, r *request) string { return r.segments[2] }

// rowResource is the part below sobjects.
func rowResource(path []string) resource {
	switch {
	case len(path) == 0:
		return resource{"GET": {kind: "describe", run: describeGlobal}}
	case len(path) == 1:
		return resource{
			"GET":  {kind: "describe", object: rowObject, run: describeBasic},
			"POST": {kind: "row.create", object: rowObject, content: jsonContent, run: createRow},
		}
	case len(path) == 2 && path[1] == "describe":
		return resource{"GET": {kind: "describe", object: rowObject, run: describeObject}}
	case len(path) == 2:
		return resource{
			"GET":    {kind: "row.get", object: rowObject, run: getRow},
			"PATCH":  {kind: "row.update", object: rowObject, content: jsonContent, run: updateRow},
			"DELETE": {kind: "row.delete", object: rowObject, run: deleteRow},
			"POST":   {kind: "row.upsert", object: rowObject, content: jsonContent, run: createByID},
		}
	case len(path) == 3:
		return resource{
			"GET":    {kind: "ext.get", object: rowObject, run: getRow},
			"PATCH":  {kind: "ext.upsert", object: rowObject, content: jsonContent, run: upsertRow},
			"DELETE": {kind: "ext.delete", object: rowObject, run: deleteRow},
		}
	default:
		return nil
	}
}

// compositeResource is the part below composite.
func compositeResource(r *request) resource {
	switch path := r.segments[1:]; {
	case len(path) == 0:
		return only(r.version >= sinceComposite, resource{
			"GET":  {kind: "composite.list", run: listComposites},
			"POST": {kind: "composite.run", carries: true, content: jsonContent, run: runComposite},
		})
	case path[0] == "sobjects":
		return only(r.version >= sinceCollections, collectionResource(r))
	case len(path) == 1 && path[0] == "batch":
		return only(r.version >= sinceBatch, resource{
			"POST": {kind: "composite.batch", carries: true, content: jsonContent, run: runBatch},
		})
	case len(path) == 1 && path[0] == "graph":
		return only(r.version >= sinceGraphs, resource{
			"POST": {kind: "composite.graph", carries: true, content: jsonContent, run: runGraphs},
		})
	case len(path) == 2 && path[0] == "tree":
		return only(r.version >= sinceBatch, resource{
			"POST": {kind: "composite.tree", object: collectionObject, content: jsonContent, run: createTree},
		})
	default:
		return nil
	}
}

// collectionResource is the part below composite/sobjects.
func collectionResource(r *request) resource {
	switch path := r.segments[2:]; {
	case len(path) == 0:
		return resource{
			"POST":   {kind: "coll.create", object: firstType, content: jsonContent, run: createCollection},
			"PATCH":  {kind: "coll.update", object: firstType, content: jsonContent, run: updateCollection},
			"DELETE": {kind: "coll.delete", object: firstPrefix, run: deleteCollection},
		}
	case len(path) == 1:
		return resource{
			"GET":  {kind: "coll.get", object: collectionObject, run: readCollection},
			"POST": {kind: "coll.get", object: collectionObject, content: jsonContent, run: readCollection},
		}
	case len(path) == 2 && r.version >= sinceUpsertCollections:
		return resource{
			"PATCH": {kind: "coll.upsert", object: collectionObject, content: jsonContent, run: upsertCollection},
		}
	default:
		return nil
	}
}
