//go:build tools

// Package tools names the program that go.mod is for.
package tools

import _ "k8s.io/kube-openapi/cmd/openapi-gen"
