# What vegan says of one case: Rscript vegan.R FOLDER, with distances.csv (N x N) and factors.csv (A, B, C, S) in it.
suppressMessages(library(vegan))
folder <- commandArgs(trailingOnly = TRUE)[1]
d <- as.dist(as.matrix(read.csv(file.path(folder, "distances.csv"), header = FALSE)))
data <- read.csv(file.path(folder, "factors.csv"), stringsAsFactors = TRUE)
data$S <- factor(data$S)
permutations <- 9999
number <- function(values) paste0("[", paste(ifelse(is.na(values), "null", sprintf("%.17g", values)), collapse = ", "), "]")
say <- function(name, values) cat(sprintf('"%s": %s', name, number(values)), file = out, append = TRUE)
out <- file.path(folder, "vegan.json")
cat("{", file = out)
for (way in c("terms", "margin")) {
  for (strata in c("free", "strata")) {
    set.seed(1)
    found <- adonis2(d ~ A + B + C, data = data, by = way, permutations = permutations,
                     strata = if (strata == "strata") data$S else NULL)
    for (column in c("Df", "SumOfSqs", "R2", "F", "Pr(>F)")) {
      say(paste(way, strata, column), found[[column]])
      cat(",\n", file = out, append = TRUE)
    }
  }
}
for (type in c("median", "centroid")) {
  for (adjust in c(FALSE, TRUE)) {
    spread <- betadisper(d, data$B, type = type, bias.adjust = adjust)
    set.seed(1)
    tested <- permutest(spread, permutations = permutations)$tab
    name <- paste(type, if (adjust) "adjusted" else "plain")
    say(paste(name, "distances"), spread$distances)
    cat(",\n", file = out, append = TRUE)
    say(paste(name, "F, p"), c(tested$F[1], tested$`Pr(>F)`[1]))
    cat(",\n", file = out, append = TRUE)
  }
}
cat(sprintf('"versions": "R %s, vegan %s, permute %s"}\n', getRversion(), packageVersion("vegan"),
            packageVersion("permute")), file = out, append = TRUE)
