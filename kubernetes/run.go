package main

import (
	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
)

// run does what the components' own programs do.
func run(command *cobra.Command) int {
	return cli.Run(command)
}
