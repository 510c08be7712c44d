"""Where nodes lie in the subject hierarchy.

A segmentation lies directly under the study of its volume, since Slicer's export to DICOM asks for that, and what
belongs to it (`OwnedNodes`) beside it.
"""

from __future__ import annotations

import slicer


def subjectHierarchy(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSubjectHierarchyNode:
    """Return the subject hierarchy of a scene."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def itemOf(node: slicer.vtkMRMLNode) -> int:
    """Return the item of a node; it is made where the application has not done so."""
    tree = subjectHierarchy(node.GetScene())
    return tree.GetItemByDataNode(node) or tree.CreateItem(tree.GetSceneItemID(), node)


def studyOf(volume: slicer.vtkMRMLVolumeNode, scene: slicer.vtkMRMLScene) -> int:
    """Return the item below which what belongs to a volume goes; that of the scene if the volume was deleted."""
    tree = subjectHierarchy(scene)
    if volume.GetScene() is not scene:
        return tree.GetSceneItemID()
    study = tree.GetItemAncestorAtLevel(itemOf(volume), slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy())
    return study or tree.GetItemParent(itemOf(volume))


def placeBeside(node: slicer.vtkMRMLNode, sibling: slicer.vtkMRMLNode) -> int:
    """Put a node directly into the study of another one (without a study: where that one lies), and return its item."""
    tree = subjectHierarchy(node.GetScene())
    item = itemOf(node)
    tree.SetItemParent(item, studyOf(sibling, node.GetScene()))
    return item


def placeBefore(node: slicer.vtkMRMLNode, owner: slicer.vtkMRMLNode) -> int:
    """Put a node just before another one, below the same parent, and return its item.

    Before: when the parent is deleted, what belongs to the owner goes first, and the owner has nothing left to delete.
    """
    item = placeBeside(node, owner)
    subjectHierarchy(owner.GetScene()).MoveItem(item, itemOf(owner))
    return item


def placeInFolder(nodes: list[slicer.vtkMRMLNode], parent: int, name: str) -> int:
    """Put nodes into a new folder below an item, and return the folder's item."""
    tree = subjectHierarchy(nodes[0].GetScene())
    folder = tree.CreateFolderItem(parent, name)
    for node in nodes:
        tree.SetItemParent(itemOf(node), folder)
    return folder
