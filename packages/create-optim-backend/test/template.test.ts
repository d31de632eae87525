// The template is a package that works as it stands: its own tests, on the sources of ours.
import "../template/test/conformance.test.ts";
import "../template/test/example-optimizer.test.ts";
