package main

import (
	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
)

// run is what the components' own programs do from 1.23 on.
func run(command *cobra.Command) int {
	return cli.Run(command)
}
