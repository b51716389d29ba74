# One band of the bifurcation diagram of the logistic map x -> r x (1 - x).
#
# In: from and width, the band of r. Out: out/band, one line for each of COLUMNS values of r: r, the
# Lyapunov exponent (the mean of log |r - 2 r x|; above zero the map is chaotic), and how often x
# fell into each of ROWS bins of [0, 1], as bin:count for the bins that it fell into.

function abs(number) { return number < 0 ? -number : number }

BEGIN {
    COLUMNS = 16; ROWS = 600; SETTLE = 2000; STEPS = 120000
    for (column = 0; column < COLUMNS; column++) {
        r = from + width * column / COLUMNS
        x = 0.4
        for (step = 0; step < SETTLE; step++) x = r * x * (1 - x)
        split("", counts)
        exponent = 0
        for (step = 0; step < STEPS; step++) {
            x = r * x * (1 - x)
            counts[int(x * ROWS)]++
            slope = abs(r - 2 * r * x)
            exponent += log(slope > 1e-12 ? slope : 1e-12)
        }
        line = sprintf("%.6f %.6f", r, exponent / STEPS)
        for (bin = 0; bin < ROWS; bin++) if (bin in counts) line = line " " bin ":" counts[bin]
        print line > "out/band"
    }
    printf "r %s to %s: %d steps in each of %d columns\n", from, from + width, STEPS, COLUMNS
}
