"""
Text-like input: a sparse matrix with many columns
==================================================

My X is a CSR matrix of word counts. Must it be made dense, and which words matter?

CSR rows are taken as they are and made dense batch by batch. The data are generated:
3000 words, of which each of three topics uses fifteen more often than the others do.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_sparsenet import SparseNetClassifier

rng = np.random.default_rng(0)
n_documents, n_words, n_topics = 1200, 3000, 3
topic = rng.integers(n_topics, size=n_documents)
frequency = np.tile(1 / np.arange(10, n_words + 10), (n_topics, 1))
marked = rng.choice(np.arange(100, n_words), (n_topics, 15), replace=False)
for row, words in zip(frequency, marked, strict=True):
    row[words] += 0.02
frequency /= frequency.sum(axis=1, keepdims=True)
counts = np.stack([rng.multinomial(60, frequency[t]) for t in topic])
X = sparse.csr_array(counts.astype(np.float32))
print(
    f"{X.shape[0]} documents, {X.shape[1]} words, {X.nnz / np.prod(X.shape):.1%} filled"
)

X_train, X_test, y_train, y_test = train_test_split(X, topic, random_state=0)
net = SparseNetClassifier((20,), target_sparsity=250, max_iter=20, random_state=0)
model = make_pipeline(TfidfTransformer(), net).fit(X_train, y_train)
print(f"{net.n_nonzero_} weights, test accuracy {model.score(X_test, y_test):.3f}")

# %%
# These are the words that the network reads, by importance. Those that truly belong to
# a topic are blue.

order = np.argsort(-net.feature_importances_)[: net.support_.sum()]
true = np.isin(order, marked)
print(f"{len(order)} words are read, {true.sum()} of them mark a topic")

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
rank = np.arange(len(order))
importance = net.feature_importances_[order]
ax.bar(rank[true], importance[true], color="C0", label="marks a topic")
ax.bar(rank[~true], importance[~true], color="C3", label="does not")
ax.set(xlabel="rank of the word", ylabel="importance")
ax.legend()
plt.show()
